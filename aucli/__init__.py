"""Facial Action Unit intensities, 0-5, frame by frame, with their place on the face."""

__version__ = "0.1.0"
