"""What people look at and compute from tables: faces over time, events, statistics."""
