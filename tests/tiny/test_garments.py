import numpy as np
import pytest

from clipcache.tiny.captions import random_caption, random_name, vocabulary
from clipcache.tiny.fabric import COLOURS, PATTERNS, random_cloth
from clipcache.tiny.garments import CLASSES, GARMENTS, draw_inks, random_pose
from clipcache.tiny.outline import trace
from clipcache.tiny.parts import Ink
from clipcache.tiny.render import render, render_with_caption


def test_there_are_forty_different_names() -> None:
    assert len(CLASSES) == len(set(CLASSES)) == 40


def test_a_control_point_bends_the_outline() -> None:
    points = trace("0,0 100,0~ 100,100")
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    assert points[2].tolist() == pytest.approx([0.75, 0.25])  # t = 1/2 of the Bezier curve


@pytest.mark.parametrize("index", range(40), ids=CLASSES)
def test_every_class_is_drawn_in_rgb_and_size(index: int, rng: np.random.Generator) -> None:
    picture = render(index, rng=rng, size=48)
    assert picture.mode == "RGB"
    assert picture.size == (48, 48)
    assert np.asarray(picture).std() > 2


@pytest.mark.parametrize("index", range(40), ids=CLASSES)
def test_a_garment_fills_a_good_part_of_the_picture(index: int, rng: np.random.Generator) -> None:
    shares = []
    for _ in range(10):
        inks = np.asarray(draw_inks(index, random_pose(rng=rng), frozenset(), side=96))
        assert set(np.unique(inks)) <= {0, *Ink}
        shares.append((inks > 0).mean())
    assert 0.02 < np.mean(shares) < 0.7


def test_classes_have_different_shapes(rng: np.random.Generator) -> None:
    pose = random_pose(rng=rng)
    drawn = [np.asarray(draw_inks(i, pose, frozenset(), side=64)) for i in range(40)]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert (one != other).mean() > 0.002


def test_a_picture_is_decided_by_its_generator() -> None:
    one, again, other = (
        np.asarray(render(3, rng=np.random.default_rng(seed))) for seed in (7, 7, 8)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_picture_with_and_without_caption_are_the_same() -> None:
    plain = render(5, rng=np.random.default_rng(1))
    captioned, _ = render_with_caption(5, rng=np.random.default_rng(1))
    assert plain.tobytes() == captioned.tobytes()


def test_a_caption_says_only_what_is_true(rng: np.random.Generator) -> None:
    for index, garment in enumerate(GARMENTS):
        cloth = random_cloth(garment.colours, rng=rng)
        for _ in range(20):
            caption = random_caption(garment, cloth, frozenset(), rng=rng)
            names = (garment.name, *garment.loosely, *garment.family)
            assert any(name in caption for name in names), (index, caption)
            assert not any(p in caption.split() for p in {*PATTERNS} - {cloth.pattern})
            said = {c for c in COLOURS if c in caption.replace(garment.name, "").split()}
            assert said <= {cloth.colour}


def test_an_exact_name_is_heard_as_often_as_its_fame_says(rng: np.random.Generator) -> None:
    for garment in GARMENTS:
        heard = np.mean([random_name(garment, rng=rng) == garment.name for _ in range(1000)])
        assert heard == pytest.approx(garment.fame, abs=0.06)


def test_the_vocabulary_holds_every_word_of_the_captions(rng: np.random.Generator) -> None:
    known = set(" ".join(vocabulary()).replace(",", " ").split())
    for index in range(40):
        for _ in range(5):
            _, caption = render_with_caption(index, rng=rng, size=16)
            assert set(caption.replace(",", " ").split()) <= known


def test_what_all_garments_of_a_class_have_is_not_also_optional() -> None:
    for garment in GARMENTS:
        optional = {part.name for part in garment.parts}
        assert not optional & set(garment.details), garment.name
