"""Numbers that say how good a head is."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import entr

from clipcache.arrays import Float64, Labels, Logits, Probs
from clipcache.errors import ArrayError


def top_k_accuracy(logits: Logits, labels: Labels, k: int) -> float:
    """Return the share of rows whose label is among the `k` highest logits, in [0, 1].

    A class counts as higher only where its logit is strictly larger, or equal with a lower index,
    so that ties are decided the same way everywhere.

    >>> top_k_accuracy(np.float32([[0, 2, 1], [5, 0, 0]]), np.array([2, 0]), 1)
    0.5
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = (~(logits <= own) | ((logits == own) & before)).sum(axis=1)  # NaN is never right
    return float((rank < k).mean())


def expected_calibration_error(
    confidence: Probs, correct: npt.NDArray[np.bool_], bins: int = 15
) -> float:
    """Return how far confidence and accuracy are apart on average, in [0, 1]; 0 is best.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3 (after Naeini et al.
    2015). The bins are of equal width, ((b - 1) / bins, b / bins], as there: figures can be
    compared with published ones, and equal confidences never part. Chance alone adds to it: with
    bins of 1/15 a perfectly calibrated head measured 0.08 on 200 images, 0.03 on 1,000 and 0.01 on
    10,000, so compare heads on the same images.

    Parameters
    ----------
    confidence : (m,) probability of the likeliest class.
    correct : (m,) whether that class was the right one.

    >>> expected_calibration_error(np.float32([1.0, 1.0, 0.5]), np.array([True, False, True]))
    0.5
    """
    _one_each(confidence=confidence, correct=correct)
    exact = confidence.astype(np.float64)
    if not ((exact >= 0) & (exact <= 1)).all():
        raise ArrayError(f"confidence lies in [0, 1], found {exact.min()} to {exact.max()}")
    if bins < 1:
        raise ArrayError(f"calibration needs at least one bin, found {bins}")
    place = np.maximum(np.ceil(exact * bins).astype(np.int64) - 1, 0)
    return float(np.abs(np.bincount(place, correct - exact)).sum() / len(exact))


def cohen_kappa(one: Labels, other: Labels, n_classes: int) -> float:
    """Return how far two (m,) guesses agree beyond chance, in [-1, 1]; 1 where they are the same.

    Cohen 1960, "A Coefficient of Agreement for Nominal Scales".

    >>> cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), 2)
    0.5
    """
    _one_each(one=one, other=other)
    agree = float((one == other).mean())
    shares = (np.bincount(guesses, minlength=n_classes) / len(one) for guesses in (one, other))
    chance = float(np.dot(*shares))
    return 1.0 if agree == 1 else (agree - chance) / (1 - chance)


def mean_uncertainty(probs: Probs) -> float:
    """Return the mean entropy of the (m, c) rows as a share of the highest, log c, in [0, 1].

    >>> round(mean_uncertainty(np.float32([[0.5, 0.5], [1, 0]])), 6)
    0.5
    """
    classes = probs.shape[1]
    return float(entr(probs).sum(axis=1).mean() / np.log(max(classes, 2)))


def class_recall(guesses: Labels, labels: Labels, n_classes: int) -> Float64:
    """Return the share of each class that was guessed right, in [0, 1].

    Parameters
    ----------
    guesses, labels : (m,) the likeliest class and the right one.

    Returns
    -------
    (c,) float64; NaN for classes that do not occur in `labels`.

    >>> class_recall(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), 3)
    array([0.5, 1. , nan])
    """
    _one_each(guesses=guesses, labels=labels)
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise ArrayError(
            f"labels lie in 0 to {n_classes - 1}, found {labels.min()} to {labels.max()}"
        )
    present = np.bincount(labels, minlength=n_classes)
    right = np.bincount(labels[guesses == labels], minlength=n_classes)
    recall = np.full(n_classes, np.nan)
    np.divide(right, present, out=recall, where=present > 0)
    return recall


def macro_recall(guesses: Labels, labels: Labels) -> float:
    """Return the mean recall of the classes that occur in the (m,) labels, in [0, 1].

    Each class counts the same, however few images it has; also called balanced accuracy.

    >>> macro_recall(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]))
    0.5
    """
    return float(np.nanmean(class_recall(guesses, labels, 1 + int(labels.max(initial=0)))))


def tail_recall(guesses: Labels, labels: Labels, pool_counts: npt.NDArray[np.int64]) -> float:
    """Return the mean recall of the rarest third of the classes, in [0, 1].

    Classes that do not occur in the labels are left out before the third is taken: of 40 the 13
    rarest count, of fewer than three the rarest one.

    Parameters
    ----------
    guesses, labels : (m,) the likeliest class and the right one.
    pool_counts : (c,) images of each class in the pool, which say what is rare; of equally rare
        classes the lower index counts as the rarer.

    >>> tail_recall(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 2]), np.array([900, 90, 9]))
    0.0
    """
    recall = _recall_by_count(guesses, labels, pool_counts)
    return float(recall[: max(1, len(recall) // 3)].mean())


def head_recall(guesses: Labels, labels: Labels, pool_counts: npt.NDArray[np.int64]) -> float:
    """Return the mean recall of the commonest third of the classes, in [0, 1].

    As many classes as `tail_recall` looks at, from the other end of the same order.

    >>> head_recall(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 2]), np.array([900, 90, 9]))
    1.0
    """
    recall = _recall_by_count(guesses, labels, pool_counts)
    return float(recall[-max(1, len(recall) // 3) :].mean())


def _recall_by_count(
    guesses: Labels, labels: Labels, pool_counts: npt.NDArray[np.int64]
) -> Float64:
    """Return the recall of each class that occurs in the labels, the rarest in the pool first."""
    recall = class_recall(guesses, labels, len(pool_counts))
    present = np.flatnonzero(~np.isnan(recall))
    ordered: Float64 = recall[present[np.argsort(pool_counts[present], kind="stable")]]
    return ordered


def _one_each(**arrays: npt.NDArray[Any]) -> None:
    """Raise ArrayError unless both arrays have one value an image, and there is an image."""
    shapes = [array.shape for array in arrays.values()]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or 0 in shapes[0]:
        names = " and ".join(arrays)
        raise ArrayError(
            f"expected one of {names} an image, both (m,), found {shapes[0]} and {shapes[1]}"
        )
