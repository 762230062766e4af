"""Estimators: which variants of a unit stand for not knowing it, and what each counts."""
