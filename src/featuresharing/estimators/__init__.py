"""Estimators: how the conditional of a unit is estimated, one class a file, found by name.

Each estimator is a class (:mod:`.estimator`) in a file of its own: those in :mod:`.builtin`, and those that installed
distributions name (:mod:`.registry`). It says which variants of a unit it draws, which numbers it adds to a conditional
(:mod:`.result_columns`), which layers it takes, what it costs and which settings (:mod:`.estimation`) count. They share
draws from the prior (:mod:`.draws`) and their weights (:mod:`.draw_weights`), the sum over variants (:mod:`.mixing`),
integrals over what a unit gives (:mod:`.integration`).
"""
