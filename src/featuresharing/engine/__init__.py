"""The engine: scores of a network for many variants of a unit, knowing nothing of priors (docs/engine.md)."""
