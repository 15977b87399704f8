"""What every head promises; a new file in clipcache/heads is tested by existing."""

from dataclasses import FrozenInstanceError, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from clipcache import registry
from clipcache.arrays import Labels, Vectors
from clipcache.errors import ClipcacheError, RunError
from clipcache.heads.base import FittedHead, Head, LinearWeights, clearly_best, load_head
from clipcache.whitening import PoolSample
from tests.synthetic import text

D, C = 24, 6


@pytest.fixture(params=registry.names("heads"))
def head(request: pytest.FixtureRequest) -> Head:
    return registry.load("heads", request.param)()


def unit_rows(rows: int, seed: int = 0) -> Vectors:
    x = np.random.default_rng(seed).standard_normal((rows, D)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x.setflags(write=False)
    return x


X = unit_rows(90)
Y: Labels = np.arange(90) % C
Y.setflags(write=False)
BLOCK = unit_rows(333, seed=1)
POOL = PoolSample(BLOCK, np.arange(333))


def fit(head: Head, y: Labels = Y, start: LinearWeights | None = None) -> FittedHead:
    words = text(C, D)
    words.vectors.setflags(write=False)
    rng = np.random.default_rng(4)
    return head.fit(X[: len(y)], y, n_classes=C, text=words, rng=rng, start=start, pool=POOL)


def test_is_a_frozen_dataclass_with_defaults(head: Head) -> None:
    assert is_dataclass(head)
    assert type(head)() == head
    with pytest.raises(FrozenInstanceError):
        head.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("rows", [0, 1, 333])
def test_logits_are_finite_float32_one_column_a_class(head: Head, rows: int) -> None:
    logits = fit(head).logits(BLOCK[:rows])
    assert logits.shape == (rows, C)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_same_inputs_same_logits(head: Head) -> None:
    a, b = fit(head).logits(BLOCK), fit(head).logits(BLOCK)
    np.testing.assert_array_equal(a, b)


def test_what_was_saved_says_the_same_bit_for_bit(head: Head, tmp_path: Path) -> None:
    fitted, path = fit(head), tmp_path / "head.safetensors"
    fitted.save(path)
    again = type(fitted).load(path)  # type: ignore[attr-defined]
    for rows in (1, 2, 17, 333):
        np.testing.assert_array_equal(again.logits(BLOCK[:rows]), fitted.logits(BLOCK[:rows]))
    assert [p.name for p in tmp_path.iterdir()] == ["head.safetensors"]


def test_what_was_saved_is_found_again_without_knowing_what_it_was(
    head: Head, tmp_path: Path
) -> None:
    fitted, path = fit(head), tmp_path / "head.safetensors"
    fitted.save(path)
    again = load_head(path)
    assert type(again) is type(fitted)
    np.testing.assert_array_equal(again.logits(BLOCK), fitted.logits(BLOCK))


def test_no_labels_at_all_are_an_error_or_enough(head: Head, tmp_path: Path) -> None:
    try:
        fitted = fit(head, Y[:0])
    except ClipcacheError:
        return
    assert np.isfinite(fitted.logits(BLOCK)).all()
    fitted.save(tmp_path / "head")
    np.testing.assert_array_equal(load_head(tmp_path / "head").logits(BLOCK), fitted.logits(BLOCK))


def test_saving_twice_writes_the_same_bytes(head: Head, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(head).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_a_damaged_file_is_an_error_that_names_it(head: Head, tmp_path: Path, cut: int) -> None:
    fitted, path = fit(head), tmp_path / "head.safetensors"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RunError, match=r"head\.safetensors"):
        type(fitted).load(path)  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="nowhere"):
        type(fitted).load(tmp_path / "nowhere")  # type: ignore[attr-defined]


def test_classes_without_a_label_still_get_a_column(head: Head) -> None:
    logits = fit(head, Y % 3).logits(BLOCK)
    assert logits.shape == (333, C)
    assert np.isfinite(logits).all()


def test_a_single_labelled_class_is_enough(head: Head) -> None:
    logits = fit(head, np.full(5, 2)).logits(BLOCK)
    assert logits.shape == (333, C)
    assert np.isfinite(logits).all()


def test_a_problem_of_one_class_can_be_fitted(head: Head) -> None:
    words = text(1, D)
    y = np.zeros(9, dtype=np.int64)
    rng = np.random.default_rng(0)
    fitted = head.fit(X[:9], y, n_classes=1, text=words, rng=rng, pool=POOL)
    assert fitted.logits(BLOCK).shape == (333, 1)


def test_a_start_is_taken_and_left_alone(head: Head) -> None:
    weight = np.full((D, C), 0.25, dtype=np.float32)
    start = LinearWeights(weight, np.zeros(C, dtype=np.float32))
    start.weight.setflags(write=False)
    start.bias.setflags(write=False)
    assert np.isfinite(fit(head, start=start).logits(BLOCK)).all()


def test_says_whether_it_can_go_on_from_what_it_was(head: Head) -> None:
    continues = getattr(head, "continues", Head.continues)
    assert isinstance(fit(head), LinearWeights) == continues


def test_says_whether_it_needs_text(head: Head) -> None:
    nameless = replace(text(C, D), vectors=np.full((C, D), np.nan, dtype=np.float32))
    for words in (None, nameless):
        rng = np.random.default_rng(4)
        arguments = {"n_classes": C, "text": words, "rng": rng, "pool": POOL}
        if getattr(head, "needs_text", Head.needs_text):
            with pytest.raises(RunError, match="needs class names as text"):
                head.fit(X, Y, **arguments)  # type: ignore[arg-type]
        else:
            logits = head.fit(X, Y, **arguments).logits(BLOCK)  # type: ignore[arg-type]
            assert np.isfinite(logits).all()


def test_inputs_are_untouched(head: Head) -> None:
    x, y = X.copy(), Y.copy()  # X and Y are read-only; this finds writers that lift that
    fit(head)
    np.testing.assert_array_equal(X, x)
    np.testing.assert_array_equal(Y, y)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": X}, tmp_path / "other", metadata={"kind": "adapter"})
    with pytest.raises(ClipcacheError, match="adapter"):
        LinearWeights.load(tmp_path / "other")


@pytest.mark.parametrize(
    "kind", ["adapter", "clipcache base head, format 1", "clipcache zero_shot head, format 1", ""]
)
def test_a_head_of_a_kind_that_nobody_knows_is_refused(tmp_path: Path, kind: str) -> None:
    from safetensors.numpy import save_file

    save_file({"weight": X}, tmp_path / "other", metadata={"kind": kind})
    with pytest.raises(RunError, match="no head that this version knows"):
        load_head(tmp_path / "other")


def test_a_file_that_is_no_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise")
    for name in ("noise", "nowhere"):
        with pytest.raises(RunError, match=name):
            load_head(tmp_path / name)


@pytest.mark.parametrize(
    ("first", "second", "choice"),
    [("11", "11", 0), ("10", "11", 0), ("00", "11", 1), ("11", "00", 0), ("1100", "0111", 0)],
)
def test_a_setting_is_changed_for_a_clearly_better_one_only(
    first: str, second: str, choice: int
) -> None:
    right = np.array([[digit == "1" for digit in row] for row in (first, second)])
    assert clearly_best(right) == choice
