"""The same lines in both formats, and nothing where something goes wrong."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from clipcache.errors import SourceError
from clipcache.predict.file import COLUMNS, Prediction, check_name, write_predictions

SURE = Prediction(
    "größe/a,b.jpg", ("coat", "hat", "bag", "shoe", "belt"), (0.5, 0.2, 0.1, 0.1, 0.1), "coat", ""
)
UNSURE = Prediction("b.jpg", ("hat", "coat"), (0.6, 0.4), "", "unsure: less than 0.9")
BROKEN = Prediction("c.jpg", (), (), "", "file not found")


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        write_predictions(tmp_path / name, [[SURE, UNSURE], [], [BROKEN]])
    table = parquet.read_table(tmp_path / "a.parquet")
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["größe/a,b.jpg", "b.jpg", "c.jpg"]
    for row, line in zip(rows, lines, strict=True):
        for name, value in row.items():
            if name.startswith("probability") and value is not None:
                assert float(line[name]) == pytest.approx(value)
            else:
                assert line[name] == (value or "")


def test_fewer_than_five_classes_leave_cells_empty(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.csv", [[UNSURE]])
    line = (tmp_path / "a.csv").read_text().splitlines()[1]
    assert line == "b.jpg,hat,coat,,,,0.6,0.4,,,,,unsure: less than 0.9"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    def broken() -> Iterator[list[Prediction]]:
        yield [SURE]
        raise SourceError("line 3 of the table")

    write_predictions(tmp_path / name, [[UNSURE]])
    before = (tmp_path / name).read_bytes()
    with pytest.raises(SourceError, match="line 3"):
        write_predictions(tmp_path / name, broken())
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.txt", r"neither a \.csv nor a \.parquet"), ("no/a.csv", "no folder .*no to write")],
)
def test_a_name_that_will_not_do_is_told_before_the_work(
    tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words):
        check_name(tmp_path / name)
