"""Weights: what is known, where it lies, how it gets there, and the cards that explain it."""
