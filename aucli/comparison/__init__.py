"""Tools beside each other on the same videos, without labels."""
