import numpy as np
import pytest

from clipcache.errors import RunError
from clipcache.heads.zero_shot import ZeroShot
from tests.synthetic import text

ONE = np.float32([[1, 0, 0, 0]])


def test_logits_are_scaled_cosines_to_the_class_names() -> None:
    words = text(3, 4)
    rng = np.random.default_rng(0)
    head = ZeroShot().fit(ONE, np.array([2]), n_classes=3, text=words, rng=rng)
    x = np.random.default_rng(1).standard_normal((10, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    logits = head.logits(x)
    for i in range(10):
        for c in range(3):
            cosine = sum(float(a) * float(b) for a, b in zip(x[i], words.vectors[c], strict=True))
            assert logits[i, c] == pytest.approx(20.0 * cosine, abs=1e-4)


def test_an_image_at_a_name_is_of_that_class_whatever_the_labels_say() -> None:
    words = text(5, 12)
    rng = np.random.default_rng(0)
    x = words.vectors
    head = ZeroShot().fit(x, np.zeros(5, dtype=np.int64), n_classes=5, text=words, rng=rng)
    assert head.logits(x).argmax(axis=1).tolist() == [0, 1, 2, 3, 4]


def test_a_cache_without_class_names_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RunError, match="class names as text"):
        ZeroShot().fit(ONE, np.array([0]), n_classes=3, text=None, rng=rng)
