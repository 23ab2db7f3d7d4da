"""Scores of predictions against labels: match the frames, score, write and plot the report."""
