"""Tars as webdataset packs them, as people pack them, and as broken downloads leave them."""

import io
import json
import os
import pickle
import random
import tarfile
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item
from clipcache.images.tar import CUT_OFF, NO_BYTES, Tars

Files = Mapping[str, bytes]


def packed(path: Path, files: Files, *, format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1_700_000_000.25  # as webdataset writes: a header of its own
            tar.addfile(info, io.BytesIO(data))
    return path


def fault(source: Tars) -> str:
    with pytest.raises(SourceError) as caught:
        list(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reason(source: Tars, key: str) -> str:
    with pytest.raises(ImageError) as caught:
        source.read(key)
    return str(caught.value)


SAMPLES = {
    "0001.cls": b"cat\n",
    "0001.jpg": b"first",
    "0002.jpg": b"second",
    "0002.json": b'{"label": "dog", "url": "x"}',
    "0003.JPG": b"third",
    "0003.json": b'{"caption": "no label"}',
    "0003.txt": b"a caption",
    "0004.png": b"",
    "deep/er/0005.seg.png": b"fifth",
    "deep/er/0005.cls": b"7",
}
ITEMS = [
    Item("a.tar/0001.jpg", "cat"),
    Item("a.tar/0002.jpg", "dog"),
    Item("a.tar/0003.JPG"),
    Item("a.tar/0004.png"),
    Item("a.tar/deep/er/0005.seg.png", "7"),
]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_samples(tmp_path: Path, form: int) -> None:
    source = Tars(packed(tmp_path / "a.tar", SAMPLES, format=form))
    assert list(source) == list(source) == ITEMS
    assert source.class_names() == ("7", "cat", "dog")
    for item in ITEMS:
        assert source.read(item.key) == SAMPLES[item.key.removeprefix("a.tar/")]
        assert source.stamp(item.key).size == (tmp_path / "a.tar").stat().st_size


def test_a_tar_means_the_same_alone_and_in_its_folder(tmp_path: Path) -> None:
    packed(tmp_path / "a.tar", SAMPLES)
    packed(tmp_path / "sub" / "B.TAR", {"x.jpg": b"x"})
    (tmp_path / "notes.txt").write_text("passed over")
    folder = Tars(tmp_path)
    assert list(folder) == [*ITEMS, Item("sub/B.TAR/x.jpg")]
    assert folder.read("sub/B.TAR/x.jpg") == b"x"
    alone = Tars(tmp_path / "a.tar")
    assert all(alone.read(item.key) == folder.read(item.key) for item in ITEMS)


def test_folders_called_like_tars(tmp_path: Path) -> None:
    """Around a tar, where the letters of a name may become more when made small, and in one."""
    for shard in ("all.tar/x.tar", "İstanbul/y.TAR", "z.tar"):
        packed(tmp_path / shard, {"in.tar/1.png": b"deep", "2.png": b"flat"})
    source = Tars(tmp_path)
    for item in source:
        assert source.read(item.key) == (b"deep" if "in.tar" in item.key else b"flat")
        assert source.stamp(item.key).size == 10_240
    assert len(list(source)) == 6
    assert Tars(tmp_path / "z.tar").read("z.tar/in.tar/1.png") == b"deep"
    assert reason(source, "none.tar/in.tar/1.png") == "file not found"


def test_splits_by_folder(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        packed(tmp_path / folder / "0.tar", {f"{folder}.jpg": b"x"})
    found = {item.key: item.split for item in Tars(tmp_path, split_folders=True)}
    assert found == {"test/0.tar/test.jpg": "test", "train/0.tar/train.jpg": "pool"}
    packed(tmp_path / "cat" / "0.tar", {"cat.jpg": b"x"})
    assert "'cat'" in fault(Tars(tmp_path, split_folders=True))


def test_numbers_mean_names_where_they_are_given(tmp_path: Path) -> None:
    files = {"1.jpg": b"", "1.cls": b"1", "2.jpg": b"", "2.json": b'{"label": 0}'}
    files |= {"3.jpg": b"", "3.cls": b"hat", "4.jpg": b"", "4.cls": b"-1", "5.jpg": b"5"}
    path = packed(tmp_path / "a.tar", files)
    labels = [item.label for item in Tars(path, names=("coat", "hat"))]
    assert labels == ["hat", "coat", "hat", None, None]
    assert [item.label for item in Tars(path)] == ["1", "0", "hat", None, None]
    assert [item.label for item in Tars(path, names=("1", "hat"))][:3] == ["1", "1", "hat"]
    said = fault(Tars(path, names=("coat",)))
    assert "a.tar/1.jpg says class 1, but there are 1 class names, counted from 0" in said


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("1.json", b"{", "1.json is not what it is called"),
        ("1.json", b'{"label": [1]}', 'has "label": [1]; expected text or a number'),
        ("1.json", b'{"label": 0.5}', 'or call what is no class something else than "label"'),
        ("1.json", b'{"label": "\\ud800"}', "a.tar/1.jpg says class '\\ud800': expected a name"),
        ("1.json", b"[" * 100_000, "1.json is not what it is called"),
        ("1.cls", b"caf\xe9", "1.cls is not what it is called"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    assert said in fault(Tars(packed(tmp_path / "a.tar", {"1.jpg": b"x", name: data})))


def test_a_number_too_long_to_count(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": b"9" * 5000})
    said = fault(Tars(path, names=("coat", "hat")))
    assert "a.tar/1.jpg says class 999" in said
    assert "but there are 2 class names" in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"p.1.png": b"", "p.1.cls": b"cat", "p.2.png": b"", "p.2.cls": b"dog"},
            "a.tar has p.1.cls and p.2.cls, whose names are the same up to the first dot",
        ),
        ({"p.1.png": b"", "p.1.cls": b"cat", "p.2.png": b""}, "has p.1.cls and p.2.png, whose"),
        (
            {"p.1.png": b"", "p.1.cls": b"a", "p.2.png": b"", "p.2.json": b'{"label": "b"}'},
            "has p.1.cls and p.2.png, whose",
        ),
        ({"1.png": b"", "1.fine.cls": b"cat", "1.rough.cls": b"pet"}, "1.fine.cls and 1.rough.cls"),
    ],
)
def test_a_label_is_not_given_to_what_only_begins_alike(
    tmp_path: Path, files: Files, said: str
) -> None:
    told = fault(Tars(packed(tmp_path / "a.tar", files)))
    assert said in told
    assert "rename the files, so that only the ending comes after the first dot" in told


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        ({"a.left.png": b"", "a.right.png": b"", "a.cls": b"cat"}, ["cat", "cat"]),
        ({"a.1.png": b"", "a.1.seg.png": b"", "a.1.cls": b"cat"}, ["cat", "cat"]),
        ({"a.1.png": b"", "a.1.cls": b"a", "a.2.png": b"", "a.2.cls": b"a"}, ["a", "a"]),
        ({"a.png": b"", "a.png.json": b'{"label": "cat"}'}, ["cat"]),
        ({"a.png": b"", "a.meta.json": b'{"label": "cat"}'}, ["cat"]),
        ({"a.png": b"", "a.json": b'{"label": "cat"}', "a.meta.json": b"{}"}, ["cat"]),
        ({"a.1.png": b"", "a.2.png": b"", "a.1.json": b"{}", "a.2.cls": b""}, [None, None]),
    ],
)
def test_what_begins_alike_may_have_one_label(
    tmp_path: Path, files: Files, labels: list[str | None]
) -> None:
    source = Tars(packed(tmp_path / "a.tar", files))
    assert [item.label for item in source] == labels


def test_labels_far_from_their_images(tmp_path: Path) -> None:
    files = {"1.cls": b"cat", "2.cls": b"dog", "1.jpg": b"", "2.jpg": b""}
    said = fault(Tars(packed(tmp_path / "a.tar", files)))
    assert "2 .cls files, none right before or behind its image" in said
    assert "--sort=name" in said


def test_what_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        (tmp_path / "x.jpg").mkdir()
        tar.add(tmp_path / "x.jpg", "folder.jpg")
        for name in ("._1.jpg", ".hidden/2.jpg", "./3.jpg", "/4.jpg", "5.heic"):
            tar.addfile(tarfile.TarInfo(name))
    assert [item.key for item in Tars(path)] == ["a.tar/3.jpg", "a.tar/4.jpg"]


def test_links_fail_with_their_reason(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("1.jpg"))
        for name, kind in (("2.jpg", tarfile.LNKTYPE), ("3.jpg", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "1.jpg"
            tar.addfile(info)
    source = Tars(tmp_path / "a.tar")
    assert [item.key for item in source] == ["a.tar/1.jpg", "a.tar/2.jpg", "a.tar/3.jpg"]
    assert reason(source, "a.tar/2.jpg") == reason(source, "a.tar/3.jpg") == NO_BYTES


def test_keys_that_are_not_there(tmp_path: Path) -> None:
    source = Tars(packed(tmp_path / "a.tar", SAMPLES))
    for key in ("a.tar/no.jpg", "b.tar/0001.jpg", "0001.jpg", "a.tar", "a.tar/0001.cls"):
        assert reason(source, key) == "file not found"
    assert source.stamp("b.tar/0001.jpg") == MISSING


def test_every_cut_keeps_what_is_whole(tmp_path: Path) -> None:
    """Wherever a download broke off: images are whole, or fail with one reason, in their order."""
    files = {f"{number}.jpg": bytes([number]) * (300 * number) for number in range(1, 6)}
    whole = packed(tmp_path / "whole.tar", files).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        ends = [info.offset_data + info.size for info in tar]
    seen = set()
    for cut in range(512, len(whole), 128):
        (tmp_path / "a.tar").write_bytes(whole[:cut])
        source = Tars(tmp_path / "a.tar")
        keys = listed(source)
        assert keys == [f"a.tar/{name}" for name in list(files)[: len(keys)]]
        for key in keys[:-1]:
            assert source.read(key) == files[key.removeprefix("a.tar/")]
        if not keys:
            seen.add("nothing")
        elif cut < ends[len(keys) - 1]:
            assert reason(source, keys[-1]) == CUT_OFF
            seen.add("cut")
        else:
            assert source.read(keys[-1]) == files[keys[-1].removeprefix("a.tar/")]
            seen.add("whole")
    assert seen == {"nothing", "whole", "cut"}


def listed(source: Tars) -> list[str]:
    """The keys, none where not even one header is whole."""
    try:
        return [item.key for item in source]
    except SourceError as error:
        if "is no tar" in str(error) or "no image in" in str(error):
            return []
        raise


def test_a_tar_that_grew_whole_is_read_anew(tmp_path: Path) -> None:
    whole = packed(tmp_path / "a.tar", {"1.jpg": b"1" * 2000}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:2000])
    source = Tars(tmp_path / "a.tar")
    (key,) = [item.key for item in source]
    before = source.stamp(key)
    assert reason(source, key) == CUT_OFF
    (tmp_path / "a.tar").write_bytes(whole)
    assert source.stamp(key) != before
    assert source.read(key) == b"1" * 2000


def test_a_tar_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    files = {"1.jpg": b"1" * 700, "2.jpg": b"2" * 900}
    source = Tars(packed(tmp_path / "a.tar", files))
    assert source.read("a.tar/2.jpg") == b"2" * 900
    packed(tmp_path / "a.tar", {"0.jpg": b"0" * 5000, **files})
    assert source.read("a.tar/2.jpg") == b"2" * 900
    assert len(list(source)) == 3


def test_no_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for data in (b"", b"text", random.Random(1).randbytes(5000), b"\x1f\x8b" + bytes(600)):
        path.write_bytes(data)
        assert "is no tar" in fault(Tars(path))
    path.write_bytes(bytes(10_240))
    assert "no image in" in fault(Tars(path))
    assert "no .tar file in" in fault(Tars(packed(tmp_path / "d" / "x.zip", {}).parent))
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "gone.tar").symlink_to(tmp_path / "nowhere")
    assert "No such file" in fault(Tars(tmp_path / "only"))


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    files = {f"{number}.jpg": b"x" * 700 for number in range(4)}
    path = packed(tmp_path / "a.tar", files, format=tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    data[2 * 1536 : 2 * 1536 + 100] = b"?" * 100  # the third header
    path.write_bytes(data)
    assert "is damaged at byte 3,072" in fault(Tars(path))


def test_damage_behind_a_header_of_headers_is_told(tmp_path: Path) -> None:
    files = {f"{number}.jpg": b"x" * 500 for number in range(4)}
    path = packed(tmp_path / "a.tar", files)
    data = bytearray(path.read_bytes())
    assert data[2048:].startswith(b"././@PaxHeader")
    data[2048 + 1024 : 2048 + 1124] = b"?" * 100
    path.write_bytes(data)
    assert "a.tar is damaged (" in fault(Tars(path))


def forged(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (-512, tarfile.REGTYPE),  # read for ever
        (-1, tarfile.REGTYPE),
        (1 << 63, tarfile.REGTYPE),
        (1 << 80, tarfile.REGTYPE),
        (1 << 62, tarfile.XHDTYPE),
        (1 << 80, tarfile.XHDTYPE),
    ],
)
def test_sizes_that_cannot_be_are_told(tmp_path: Path, size: int, kind: bytes) -> None:
    path, bad = tmp_path / "a.tar", forged("2.jpg", size, kind)
    path.write_bytes(forged("1.jpg", 0, tarfile.REGTYPE) + bad + bytes(1024))
    assert "a.tar is damaged" in fault(Tars(path))
    path.write_bytes(bad + bytes(1024))
    assert "a.tar is " in fault(Tars(path))


def test_a_cut_within_a_list_of_holes(tmp_path: Path) -> None:
    sparse = bytearray(forged("2.jpg", 0, tarfile.GNUTYPE_SPARSE))
    sparse[482] = 1  # the list goes on
    sparse[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(sparse))[0]
    (tmp_path / "a.tar").write_bytes(forged("1.jpg", 0, tarfile.REGTYPE) + sparse)
    assert listed(Tars(tmp_path / "a.tar")) == ["a.tar/1.jpg"]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("café.jpg"))
    assert r"'caf\udce9.jpg'" in fault(Tars(path))


def test_threads_and_copies(tmp_path: Path) -> None:
    wanted = {}
    for shard in range(5):
        files = {f"{n:03}.jpg": os.urandom(50 + n) for n in range(40)}
        packed(tmp_path / f"{shard}.tar", files)
        wanted |= {f"{shard}.tar/{name}": data for name, data in files.items()}
    keys = list(wanted)
    random.Random(3).shuffle(keys)
    source = Tars(tmp_path)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    for each in (source, copy):
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(each.read, keys)) == [wanted[key] for key in keys]
    assert list(copy) == list(source)


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Tars(packed(tmp_path / "a.tar", SAMPLES))
    list(source)
    monkeypatch.setattr("clipcache.images.tar.scan", None)
    assert list(source) == ITEMS
    assert source.read("a.tar/0001.jpg") == b"first"


def headers(count: int) -> Iterator[bytes]:
    for number in range(count):
        info = tarfile.TarInfo(f"{'name' * 10}/{number:06}.jpg")
        info.size = 3
        yield info.tobuf(tarfile.USTAR_FORMAT) + f"{number % 1000:03}".encode().ljust(512, b"\0")


def test_large_tars_are_streamed(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as file:
        file.writelines(headers(20_000))
        file.write(bytes(1024))
    source = Tars(tmp_path / "a.tar")
    tracemalloc.start()
    assert sum(1 for _ in source) == 20_000
    listing = tracemalloc.get_traced_memory()[1]
    assert source.read(f"a.tar/{'name' * 10}/019999.jpg") == b"999"
    reading = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert listing < 2_000_000  # a list of what is yielded takes 4,000,000
    assert reading < 3_000_000


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled = tmp_path / "spooled"
    spooled.mkdir()
    monkeypatch.setenv("TMPDIR", str(spooled))
    monkeypatch.setattr("tempfile.tempdir", None)
    source = Tars(packed(tmp_path / "a.tar", SAMPLES))
    assert list(source) == ITEMS
    assert list(spooled.iterdir()) == []


def test_json_beside_cls(tmp_path: Path) -> None:
    note = json.dumps({"label": "from json"}).encode()
    both = {"1.json": note, "1.jpg": b"", "1.cls": b"from cls", "2.cls": b" ", "2.jpg": b""}
    source = Tars(packed(tmp_path / "a.tar", both | {"2.json": note}))
    assert [item.label for item in source] == ["from cls", "from json"]
