"""p-values of lesion curves, against scipy's own prediction of one more observation."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from featuresharing import InputError
from featuresharing.analysis.deviation import deviation_p_values


def test_p_values_are_those_of_one_more_observation() -> None:
    rng = np.random.default_rng(0)
    random = rng.normal(0.5, 0.1, size=(12, 4, 2))
    accuracy = rng.normal(0.5, 0.2, size=(4, 2))
    found = deviation_p_values(accuracy, random)
    for place in np.ndindex(4, 2):
        # a sample of one has no spread of its own: the pooled t test is the same statistic
        wanted = ttest_ind([accuracy[place]], random[(slice(None), *place)]).pvalue
        assert found[place] == pytest.approx(wanted, rel=1e-9)


def test_orders_that_all_agree() -> None:
    random = np.full((3, 2), 0.7)
    assert deviation_p_values(np.array([0.7, 0.6]), random).tolist() == [1, 0]


def test_one_order_is_too_few() -> None:
    with pytest.raises(InputError, match="accepted are two or more"):
        deviation_p_values(np.zeros(2), np.zeros((1, 2)))
