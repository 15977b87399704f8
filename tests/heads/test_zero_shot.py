import numpy as np
import pytest

from clipcache.errors import RunError
from clipcache.heads.zero_shot import ZeroShot
from clipcache.projection import check_heads
from tests.heads.worlds import nameless
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


def test_a_class_whose_name_has_no_vector_is_never_predicted() -> None:
    words = nameless(text(5, 12), 1, 4)
    x = np.vstack([words.vectors[[0, 2, 3]], -words.vectors[[0, 2, 3]], np.zeros((1, 12))])
    rng = np.random.default_rng(0)
    y = np.array([1])
    head = ZeroShot().fit(ONE, y, n_classes=5, text=words, rng=rng)
    logits = head.logits(x.astype(np.float32))
    assert np.isfinite(logits).all()
    assert (logits[:, [1, 4]].max(axis=1) <= logits[:, [0, 2, 3]].min(axis=1) - 19.9).all()
    check_heads([head], 12)  # what scoring asks


def test_names_without_a_single_vector_are_no_names() -> None:
    rng = np.random.default_rng(0)
    words = nameless(text(2, 4), 0, 1)
    with pytest.raises(RunError, match="class names as text"):
        ZeroShot().fit(ONE, np.array([0]), n_classes=2, text=words, rng=rng)
