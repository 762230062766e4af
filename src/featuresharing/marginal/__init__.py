"""Predictions with one unit marginalized out: prior draws, their weights, and the loop over units."""
