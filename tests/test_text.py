from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.errors import SourceError
from clipcache.text import check_templates, encode_names


class Letters:
    """An encoder of text alone: each prompt's vector comes from its own letters."""

    logit_scale = 20.0

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode_text(self, prompts: Sequence[str]) -> np.ndarray:
        self.asked += prompts
        rows = [np.random.default_rng(list(p.encode())).normal(size=5) for p in prompts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


def test_each_class_is_the_mean_of_its_prompts() -> None:
    encoder = Letters()
    text = encode_names(encoder, ["cat", "dog"], ["a {}", "the {}!"])  # type: ignore[arg-type]
    assert sorted(encoder.asked) == ["a cat", "a dog", "the cat!", "the dog!"]
    for name, vector in zip(("cat", "dog"), text.vectors, strict=True):
        mean = Letters().encode_text([f"a {name}", f"the {name}!"]).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert text.names == ("cat", "dog")
    assert text.templates == ("a {}", "the {}!")
    assert text.logit_scale == 20.0
    assert text.vectors.dtype == np.float32


@pytest.mark.parametrize("name", ["{}", "{0}", "{x}", "a{b", "50% {!r}"])
def test_braces_are_nothing_special(name: str) -> None:
    encoder = Letters()
    encode_names(encoder, [name], ["{x} or {}"])  # type: ignore[arg-type]
    assert encoder.asked == [f"{{x}} or {name}"]


@given(st.text("{} a", max_size=8))
def test_a_template_has_exactly_one_place(template: str) -> None:
    if template.count("{}") == 1:
        check_templates([template])
    else:
        with pytest.raises(SourceError, match="once"):
            check_templates(["{}", template])
