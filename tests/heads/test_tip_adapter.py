import numpy as np
import pytest
from scipy.optimize import approx_fprime

from clipcache.arrays import Float64, Labels, Vectors
from clipcache.errors import ArrayError, RunError
from clipcache.heads.base import LinearWeights, text_weights
from clipcache.heads.tip_adapter import TipAdapter, TipAdapterWeights, _held_out, _Votes
from clipcache.heads.zero_shot import ZeroShot
from clipcache.text import LabelText
from tests.heads.worlds import D, nameless, world

TEST = 600


def fit(
    x: Vectors, y: Labels, words: LabelText | None, head: TipAdapter | None = None
) -> TipAdapterWeights:
    rng = np.random.default_rng(0)
    return (head or TipAdapter()).fit(x, y, n_classes=5, text=words, rng=rng)


def accuracy(head: TipAdapterWeights, mistaken: float) -> float:
    x, y, _ = world(TEST, mistaken=mistaken, seed=7)
    return float((head.logits(x).argmax(axis=1) == y).mean())


def test_logits_are_the_papers_equation() -> None:
    x, y, words = world(6, mistaken=1.0)
    head = fit(x, y, words)
    alpha, beta = head.sharpness.tolist()
    test = world(4, mistaken=1.0, seed=3)[0]
    for row, logits in zip(test, head.logits(test), strict=True):
        for c in range(5):
            total = 50.0 * float(row @ words.vectors[c])
            for key, label in zip(x, y, strict=True):
                total += (label == c) * alpha * np.exp(-beta * (1 - float(row @ key)))
            assert logits[c] == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_without_a_label_it_is_zero_shot(fine_tune: bool) -> None:
    x, y, words = world(0, mistaken=1.0)
    words = nameless(words, 3)
    rng = np.random.default_rng(0)
    zero_shot = ZeroShot().fit(x, y, n_classes=5, text=words, rng=rng)
    test = world(TEST, mistaken=1.0, seed=7)[0]
    head = fit(x, y, words, TipAdapter(fine_tune=fine_tune))
    np.testing.assert_array_equal(head.logits(test), zero_shot.logits(test))


def test_labels_help_where_names_are_mistaken_and_learned_keys_help_more() -> None:
    x, y, words = world(100, mistaken=3.0)
    plain, tuned = fit(x, y, words), fit(x, y, words, TipAdapter(fine_tune=True))
    names = fit(x[:0], y[:0], words)
    assert accuracy(plain, 3.0) > accuracy(names, 3.0) + 0.1
    assert accuracy(tuned, 3.0) > accuracy(plain, 3.0)
    assert not np.array_equal(tuned.keys, x)
    np.testing.assert_array_equal(plain.keys, x)


def test_an_image_has_no_vote_on_itself() -> None:
    x, y, _ = world(8, mistaken=1.0)
    votes = _Votes(x.astype(np.float64), y, np.zeros((8, 5)), np.eye(5)[y])
    near = votes.near(votes.x, 8.0)
    assert (np.diag(near) == 0).all()
    assert (near + np.eye(8) > 0).all()


def test_a_class_without_a_name_is_judged_without_the_image_in_question() -> None:
    x, y, words = world(10, mistaken=1.0)

    def names(x: Vectors, y: Labels) -> LinearWeights:
        return text_weights(nameless(words, 2), 5, x, y, head="test")

    base = _held_out(names, x, y)
    for i in range(10):
        others = np.arange(10) != i
        wanted = names(x[others], y[others])
        columns = [0, 1, 3, 4] + ([2] if y[i] == 2 else [])
        logits = x[i] @ wanted.weight + wanted.bias
        np.testing.assert_allclose(base[i, columns], logits[columns], atol=1e-3)


def test_learned_keys_are_where_their_objective_is_flat() -> None:
    x, y, words = world(5, mistaken=2.0)
    base = x.astype(np.float64) @ (50.0 * words.vectors.T)
    votes = _Votes(x.astype(np.float64), y, base, np.eye(5)[y])

    def objective(flat: Float64) -> float:
        keys = flat.reshape(x.shape)
        logits = base + 3.0 * votes.near(keys, 2.0) @ votes.votes
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(5), y] - np.log(np.exp(logits).sum(axis=1))
        return float(-chosen.sum() + ((keys - x) ** 2).sum() / 0.2)

    best = votes.learn(3.0, 2.0, 0.1)
    assert objective(best.ravel()) < objective(votes.x.ravel())
    assert np.abs(approx_fprime(best.ravel(), objective, 1e-6)).max() < 0.02


def test_duplicates_zeros_and_contradictions_are_no_trouble() -> None:
    x, y, words = world(6, mistaken=1.0)
    x = np.vstack([x, x, np.zeros((1, D), dtype=np.float32)])
    y = np.concatenate([y, y[::-1], y[:1]])
    for tune in (False, True):
        for rows in (1, 2, len(y)):
            head = fit(x[:rows], y[:rows], nameless(words, 0), TipAdapter(fine_tune=tune))
            assert np.isfinite(head.logits(x)).all()


def test_it_needs_names_and_labels_that_fit() -> None:
    x, y, words = world(3, mistaken=1.0)
    with pytest.raises(RunError, match="tip_adapter head needs class names as text"):
        fit(x, y, None)
    with pytest.raises(ArrayError, match="found 3 and 2"):
        fit(x, y[:2], words)
