import math

import pytest

from clipcache.labels import Round
from clipcache.web.chart import HEIGHT, WIDTH, Chart, chart

NAN = math.nan


def closed(number: int, labels: int, top1: float, top5: float) -> Round:
    return Round(number, labels, top1, top5, 0.1, 0.5, None, 0.1, 0.1, 0.1)


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def drawn(*rounds: Round) -> Chart:
    made = chart(rounds)
    assert made is not None
    return made


def test_nothing_is_drawn_before_anything_is_measured() -> None:
    assert chart([]) is None
    assert chart([closed(0, 10, NAN, NAN)]) is None


def test_labels_go_to_the_right_and_accuracy_goes_up() -> None:
    top5, top1 = drawn(
        closed(0, 10, 0.5, 0.8), closed(1, 20, 0.6, 0.9), closed(2, 40, 0.75, 1.0)
    ).curves
    assert (top1.name, top5.name) == ("top-1", "top-5")
    (x0, y0), (x1, y1), (x2, y2) = points(top1.lines[0])
    assert x1 - x0 == pytest.approx((x2 - x0) / 3, abs=0.2)
    assert y0 > y1 > y2
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.1 / 0.25, abs=0.02)
    assert points(top5.lines[0])[2][1] < y2
    assert top1.end == (x2, y2)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.26, 0.5, 0.99, 1.0])
def test_every_point_is_inside(share: float) -> None:
    made = drawn(closed(0, 10, share, 1.0), closed(1, 20, min(1, share + 0.1), 1.0))
    for curve in made.curves:
        for x, y in points(curve.lines[0]):
            assert made.left <= x <= made.right <= WIDTH
            assert 0 < y <= made.bottom <= HEIGHT
    texts = [text for _, text in made.levels]
    assert texts[-1] == "100 %"
    assert len(texts) >= 2
    assert float(texts[0].split()[0]) <= 100 * share or share == 1.0


def test_labels_that_were_taken_back_leave_nothing_outside() -> None:
    made = drawn(closed(0, 20, 0.5, 0.8), closed(1, 40, 0.6, 0.9), closed(2, 10, 0.5, 0.8))
    for curve in made.curves:
        xs = [x for x, _ in points(curve.lines[0])]
        assert xs[2] == made.left < xs[0] < xs[1] == made.right
        assert curve.end[0] == made.left, "the newest, wherever it is"
    assert (made.first, made.last) == ("10", "40 labels")


def test_a_level_is_where_its_share_is() -> None:
    made = drawn(closed(0, 10, 0.25, 0.75), closed(1, 20, 0.5, 1.0))
    heights = {text: y for y, text in made.levels}
    top5, top1 = (points(curve.lines[0]) for curve in made.curves)
    assert [y for _, y in top1] == [heights["25 %"], heights["50 %"]]
    assert [y for _, y in top5] == [heights["75 %"], heights["100 %"]]


def test_a_single_round_is_a_point() -> None:
    made = drawn(closed(0, 10, 0.5, 0.8))
    assert made.left < made.curves[0].end[0] < made.right


def test_rounds_that_measured_nothing_leave_a_gap() -> None:
    made = drawn(
        closed(0, 10, NAN, NAN),
        closed(1, 20, 0.5, 0.8),
        closed(2, 30, NAN, NAN),
        closed(3, 40, 0.6, 0.9),
    )
    assert [len(points(line)) for line in made.curves[1].lines] == [1, 1]
    assert (made.first, made.last) == ("20", "40 labels")
