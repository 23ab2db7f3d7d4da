"""Where the faces are: detection, 68 landmarks, head pose and identity over time."""
