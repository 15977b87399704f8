"""One temperature, so that a head is as sure as it is right.

Logits are divided by it before they become probabilities: the order of the classes stays, only how
sure they sound changes. It is the one under which the mean probability of the likeliest class is
the share of rows whose likeliest class is right: what people want to know of an answer, and robust.
To maximise the likelihood instead does as well on labels that were chosen, but where a class has no
label yet, the head calls it all but impossible, and a few such rows flatten everything else: on
100 held-out labels of UCF101 it left a calibration error of 59 points, and this one of 5.

References: Guo et al. 2017, "On calibration of modern neural networks", section 4.2 (a single
temperature); Clarte et al. 2023, "Expectation consistency for calibration of neural networks" (how
it is found).
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax

from clipcache.arrays import Labels, Logits

RANGE = (0.02, 50.0)
"""Where temperatures are looked for."""


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Return the temperature at which a head is as sure as it is right.

    A few labels of which every one was foreseen would make it sure of everything, so accuracy is
    counted as with one more label that was foreseen and one that was not (Laplace's rule). Without
    a label it is 1.

    Parameters
    ----------
    logits : (m, c) of rows that the head was not fitted on. labels : (m,) int64, their classes.
    """
    if not len(labels):
        return 1.0
    exact = logits.astype(np.float64)
    right = np.count_nonzero(exact.argmax(axis=1) == labels)
    accuracy = (right + 1) / (len(labels) + 2)

    def too_sure(log_temperature: float) -> float:
        confidence = softmax(exact / np.exp(log_temperature), axis=1).max(axis=1)
        return float(confidence.mean() - accuracy)

    low, high = np.log(RANGE)
    if too_sure(low) <= 0:
        return RANGE[0]
    if too_sure(high) >= 0:
        return RANGE[1]
    return float(np.exp(brentq(too_sure, low, high)))
