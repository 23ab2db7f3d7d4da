"""Frames out of files: videos, still images and folders of them, with exact times."""
