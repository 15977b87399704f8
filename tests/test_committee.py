"""Heads made of one head by leaving dimensions out."""

import numpy as np
import pytest

from clipcache.arrays import Logits, Vectors
from clipcache.committee import Masked, dropout_committee
from clipcache.errors import ArrayError
from clipcache.heads.base import LinearWeights
from clipcache.projection import Weights

D, C, MEMBERS = 40, 6, 4
X = np.random.default_rng(0).standard_normal((30, D)).astype(np.float32)
HEAD = LinearWeights(
    np.random.default_rng(1).standard_normal((D, C)).astype(np.float32),
    np.arange(C, dtype=np.float32),
)


class Opaque:
    """The same head, without showing its weights."""

    def logits(self, block: Vectors) -> Logits:
        return HEAD.logits(block)


def test_without_dropout_all_members_are_the_head(rng: np.random.Generator) -> None:
    committee = dropout_committee(HEAD, MEMBERS, 0.0, D, rng=rng)
    np.testing.assert_allclose(
        committee.logits(X), np.hstack([HEAD.logits(X)] * MEMBERS), rtol=1e-5, atol=1e-5
    )


def test_masked_weights_and_masked_vectors_are_the_same() -> None:
    linear = dropout_committee(HEAD, MEMBERS, 0.3, D, rng=np.random.default_rng(5))
    other = dropout_committee(Opaque(), MEMBERS, 0.3, D, rng=np.random.default_rng(5))
    assert isinstance(linear, Weights)
    assert isinstance(other, Masked)
    assert linear.weight.shape == (D, MEMBERS * C)
    np.testing.assert_allclose(linear.logits(X), other.logits(X), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_a_share_of_the_dimensions_is_left_out_and_the_rest_made_up_for(rate: float) -> None:
    ones = LinearWeights(np.ones((4000, 1), np.float32), np.zeros(1, np.float32))
    committee = dropout_committee(ones, 3, rate, 4000, rng=np.random.default_rng(0))
    assert isinstance(committee, Weights)
    for column in committee.weight.T:
        assert (column == 0).mean() == pytest.approx(rate, abs=0.04)
        assert column.mean() == pytest.approx(1.0, abs=0.08)
    assert len(np.unique(committee.weight, axis=1).T) == 3


@pytest.mark.parametrize(("members", "rate"), [(0, 0.1), (2, 1.0), (2, -0.1)])
def test_impossible_committees_are_errors(
    members: int, rate: float, rng: np.random.Generator
) -> None:
    with pytest.raises(ArrayError, match="at least one member"):
        dropout_committee(HEAD, members, rate, D, rng=rng)
