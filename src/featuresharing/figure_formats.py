"""Formats of figures, by the ends of their files' names."""

FIGURES = (".png", ".pdf", ".svg")
ANIMATIONS = (".gif",)
