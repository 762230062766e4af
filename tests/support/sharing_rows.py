"""Ends of rows of sharing.csv, for tests that look at what stands before them."""

CHANCE = (0.5, 0.4, 0.6, 0.05, 0.2, 0.1, 0.3, "", 0.001)
"""Chance with its range, p, excess sharing with its interval, no task near zero, and an error."""
