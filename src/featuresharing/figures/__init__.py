"""Figures of an analysis: maps of the units of a layer, their animations, and curves over layers and training steps."""
