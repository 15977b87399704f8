"""How far people who looked at the same images agree beyond chance."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from clipcache.labels import SKIPPED
from clipcache.metrics import cohen_kappa


class Agreement(NamedTuple):
    """A kappa: 1 where people always agree, 0 where no more than chance would have it."""

    kind: str
    """"Cohen" for two people, "Fleiss" for more."""
    kappa: float
    images: int
    """How many images two or more people judged."""


def agreement(votes: Collection[Mapping[str, int]]) -> Agreement | None:
    """Return how far people agree; None where no image was judged by two.

    Parameters
    ----------
    votes : annotator -> label for each image. Who skipped an image did not judge it.
    """
    judged = [{who: vote for who, vote in said.items() if vote != SKIPPED} for said in votes]
    judged = [said for said in judged if len(said) > 1]
    if not judged:
        return None
    people = sorted({who for said in judged for who in said})
    if len(people) > 2:
        return Agreement("Fleiss", fleiss_kappa([list(s.values()) for s in judged]), len(judged))
    places = {label: place for place, label in enumerate({v for s in judged for v in s.values()})}
    one, other = (np.array([places[said[who]] for said in judged]) for who in people)
    return Agreement("Cohen", cohen_kappa(one, other, len(places)), len(judged))


def fleiss_kappa(votes: Collection[Collection[int]]) -> float:
    """Return how far any number of people agree about images beyond chance, in [-1, 1].

    Fleiss 1971, "Measuring nominal scale agreement among many raters"; images need not have the
    same number of votes, as chance is counted over all votes and agreement image by image.

    Parameters
    ----------
    votes : the labels of each image, two or more.

    >>> fleiss_kappa([[0, 0, 0], [1, 1, 1]])
    1.0
    >>> round(fleiss_kappa([[0, 0, 1], [0, 1, 1]]), 6)
    -0.333333
    """
    counts = [Counter(said) for said in votes]
    agree = np.mean([_pairs_alike(count) for count in counts])
    total = sum(counts, Counter[int]())
    shares = np.array(list(total.values())) / total.total()
    chance = float((shares**2).sum())
    return 1.0 if agree == 1 else float((agree - chance) / (1 - chance))


def _pairs_alike(count: Counter[int]) -> float:
    """Return the share of pairs of votes on one image that are the same."""
    n = count.total()
    return sum(c * (c - 1) for c in count.values()) / (n * (n - 1))
