import csv
import tracemalloc
from pathlib import Path

import pytest

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item
from clipcache.images.decode import decode
from clipcache.images.narrow import Narrow
from clipcache.images.table import Table

CLOTHING = Path(__file__).parents[2].parent / "shared" / "data" / "clothing"


def written(folder: Path, text: str | bytes, name: str = "images.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def fault(table: Table) -> str:
    with pytest.raises(SourceError) as caught:
        list(table)
    said = str(caught.value)
    assert "\n" not in said
    assert str(table.path.parent) in said
    return said


def test_paths_alone(tmp_path: Path) -> None:
    table = Table(written(tmp_path, "path\nb.jpg\nx/a.jpg\n"))
    assert list(table) == [Item("b.jpg"), Item("x/a.jpg")]
    assert table.class_names() == ()


def test_labels_and_splits(tmp_path: Path) -> None:
    text = "label,split,path\ndog,train,1.jpg\n cat ,VAL,2.jpg\n,,3.jpg\n  , ,4.jpg\n"
    table = Table(written(tmp_path, text), label_column="label", split_column="split")
    assert list(table) == [
        Item("1.jpg", "dog", "pool"),
        Item("2.jpg", "cat", "test"),
        Item("3.jpg", None, "pool"),
        Item("4.jpg", None, "pool"),
    ]
    assert table.class_names() == ("cat", "dog")


def test_labels_are_only_read_where_asked(tmp_path: Path) -> None:
    assert list(Table(written(tmp_path, "path,label\n1.jpg,cat\n"))) == [Item("1.jpg")]


def test_pattern_and_column(tmp_path: Path) -> None:
    path = written(tmp_path, "image,kids\nab-c,False\n{x},True\n")
    table = Table(path, path_column="image", path_pattern="images/{}.jpg")
    assert [item.key for item in table] == ["images/ab-c.jpg", "images/{x}.jpg"]


@pytest.mark.parametrize(
    "pattern", ["", "a.jpg", "{}{}", "{0}", "{.__class__}", "{}{x}", "{}}", "{"]
)
def test_patterns_with_another_hole(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match=r"exactly one \{\}"):
        Table(tmp_path / "images.csv", path_pattern=pattern)


def test_tabs(tmp_path: Path) -> None:
    path = written(tmp_path, "path\tlabel\na,b.jpg\tcat\n", "images.TSV")
    assert list(Table(path, label_column="label")) == [Item("a,b.jpg", "cat")]


def test_what_spreadsheets_write(tmp_path: Path) -> None:
    text = '\ufeffpath , label\r\n"a,b.jpg","say ""cat"""\r\n\r\nc.jpg,dog,,\r\n'
    table = Table(written(tmp_path, text), label_column="label")
    assert list(table) == [Item("a,b.jpg", 'say "cat"'), Item("c.jpg", "dog")]


def test_keys_are_plain_relative_paths(tmp_path: Path) -> None:
    table = Table(written(tmp_path, "path\n./a.jpg\nx//b.jpg\nx/../c.jpg\n...jpg\n..d.jpg\n"))
    assert [item.key for item in table] == ["a.jpg", "x/b.jpg", "c.jpg", "...jpg", "..d.jpg"]


@pytest.mark.parametrize("cell", ["/etc/passwd.jpg", "../a.jpg", "x/../../a.jpg", "..", "//a.jpg"])
def test_paths_that_leave_the_root(tmp_path: Path, cell: str) -> None:
    said = fault(Table(written(tmp_path, f"path\nok.jpg\n{cell}\n")))
    assert "line 3" in said
    assert "not below" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("path,label\n", "no rows"),
        ("file,label\n1,2\n", "no column 'path'; there are: file, label"),
        ("path;label\na.jpg;cat\n", "there are: path;label"),
        ("path,label,path\n1,2,3\n", "more than one column 'path'"),
        ("path,label\na.jpg,cat\nb.jpg\n", "line 3"),
        ("path,label\na.jpg,cat\nb.jpg,cat,tabby\n", "has 3 cells, but the header has 2"),
        ("path,label\na.jpg,cat\n,cat\n", "line 3 of .* nothing in the column 'path'"),
        ("path,label\n  ,cat\n", "line 2 of .* nothing in the column 'path'"),
        (b"path,label\na.jpg,cat\nb.jpg,caf\xe9\n", "line 3 of .* not UTF-8"),
        ("path,label\na.jpg,cat\n".encode("utf-16"), "line 1 of .* not UTF-8"),
        ('path,label\na.jpg,"cat\nb.jpg,dog\n', "line 3 of .* not a row of a table"),
        ("path,label\na.jpg," + "x" * 200_000 + "\n", "line 2 of .* not a row of a table"),
    ],
)
def test_faults(tmp_path: Path, text: str | bytes, said: str) -> None:
    table = Table(written(tmp_path, text), label_column="label")
    with pytest.raises(SourceError, match=said):
        list(table)
    fault(table)


def test_line_numbers_count_lines_not_rows(tmp_path: Path) -> None:
    text = 'path,label\na.jpg,"two\nlines"\n\nb.jpg\n'
    assert "line 5" in fault(Table(written(tmp_path, text)))


def test_unknown_split(tmp_path: Path) -> None:
    said = fault(Table(written(tmp_path, "path,split\na.jpg,dev\n"), split_column="split"))
    assert "line 2" in said
    assert "'dev'" in said
    assert "validation" in said


def test_no_table_there(tmp_path: Path) -> None:
    assert "No such file" in fault(Table(tmp_path / "images.csv"))
    assert "Is a directory" in fault(Table(tmp_path / "."))


def test_class_names_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(written(tmp_path, "path,label\na.jpg,cat\n"), label_column="label")
    assert table.class_names() == ("cat",)
    monkeypatch.setattr(Table, "_items", None)
    assert table.class_names() == ("cat",)
    assert table == Table(table.path, label_column="label")


def test_root(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"picture")
    table = Table(written(tmp_path, "path\na.jpg\n"), root=tmp_path / "photos")
    assert table.read("a.jpg") == b"picture"
    assert table.stamp("a.jpg").size == 7
    assert "no folder" in fault(Table(table.path, root=tmp_path / "fotos"))


def test_a_missing_file_is_the_images_failure(tmp_path: Path) -> None:
    table = Table(written(tmp_path, "path\ngone.jpg\n"))
    assert list(table) == [Item("gone.jpg")]
    assert table.stamp("gone.jpg") == MISSING
    with pytest.raises(ImageError) as caught:
        table.read("gone.jpg")
    assert str(caught.value) == "file not found"


def test_long_tables_are_streamed(tmp_path: Path) -> None:
    path = written(tmp_path, "path\n" + "".join(f"{'x' * 100}{n}.jpg\n" for n in range(20_000)))
    tracemalloc.start()
    count = sum(1 for _ in Table(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 1_000_000  # the keys alone are 2,000,000 characters


@pytest.mark.skipif(not CLOTHING.is_dir(), reason=f"the clothing photos are not in {CLOTHING}")
def test_real_photos() -> None:
    """3,295 rows, 5 of them without a file; 120 of the 3,410 files have no row."""
    table = Table(
        CLOTHING / "images.csv",
        path_column="image",
        label_column="label",
        path_pattern="images/{}.jpg",
    )
    keys = [item.key for item in table]
    missing = [key for key in keys if table.stamp(key) == MISSING]
    assert (len(keys), len(missing)) == (3295, 5)
    files = {f"images/{path.name}" for path in (CLOTHING / "images").iterdir()}
    assert len(files) == 3410
    assert len(files - set(keys)) == 120
    with pytest.raises(ImageError, match="file not found"):
        table.read(missing[0])
    for key in sorted(set(keys) - set(missing))[::300]:
        assert decode(table.read(key)).mode == "RGB"
    narrow = Narrow(table, exclude=frozenset(["Not sure", "Other", "Skip"]), top=5)
    assert len(narrow.class_names()) == 5
    with CLOTHING.joinpath("images.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in narrow.class_names()]
    assert len(rows) > 1000
    assert [item.key for item in narrow] == [f"images/{row['image']}.jpg" for row in rows]
