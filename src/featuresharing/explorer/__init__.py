"""The page to explore: one file that shows every unit, opened from disk."""

from featuresharing.explorer.assembling import explorer_page

__all__ = ["explorer_page"]
