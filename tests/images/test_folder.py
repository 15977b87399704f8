import os
import resource
import tracemalloc
from pathlib import Path

import pytest

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item, PassingError, Source, Stamp
from clipcache.images.folder import Folder


def touch(root: Path, *keys: str) -> Path:
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"x")
    return root


def fault(source: Source) -> str:
    with pytest.raises(SourceError) as caught:
        list(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    source = Folder(touch(tmp_path, "b.jpg", "a.png"))
    assert list(source) == [Item("a.png"), Item("b.jpg")]
    assert source.class_names() == ()


def test_first_level_is_the_label(tmp_path: Path) -> None:
    source = Folder(touch(tmp_path, "dog/1.jpg", "cat/deep/er/2.jpg", "cat/1.jpg", "3.jpg"))
    assert list(source) == [
        Item("3.jpg"),
        Item("cat/1.jpg", "cat"),
        Item("cat/deep/er/2.jpg", "cat"),
        Item("dog/1.jpg", "dog"),
    ]
    assert source.class_names() == ("cat", "dog")


def test_split_level(tmp_path: Path) -> None:
    keys = ("train/cat/1.jpg", "Test/dog/2.jpg", "val/cat/x/3.jpg", "pool/4.jpg", "5.jpg")
    source = Folder(touch(tmp_path, *keys), split_folders=True)
    assert {item.key: (item.label, item.split) for item in source} == {
        "5.jpg": (None, "pool"),
        "Test/dog/2.jpg": ("dog", "test"),
        "pool/4.jpg": (None, "pool"),
        "train/cat/1.jpg": ("cat", "pool"),
        "val/cat/x/3.jpg": ("cat", "test"),
    }
    assert source.class_names() == ("cat", "dog")


def test_a_folder_that_is_no_split(tmp_path: Path) -> None:
    said = fault(Folder(touch(tmp_path, "cat/1.jpg"), split_folders=True))
    assert "'cat'" in said
    assert "train, pool, test, val, valid, validation" in said


def test_extensions_in_any_case_and_nothing_else(tmp_path: Path) -> None:
    images = ["a.JPG", "b.jpeg", "c.Png", "d.webp", "e.bmp", "f.gif", "g.tif", "h.TIFF"]
    touch(tmp_path, *images, "i.txt", "j.csv", "jpg", "k.jpg.part", "l.heic")
    assert [item.key for item in Folder(tmp_path)] == images


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg", "._b.jpg", ".cache/c.jpg", "cat/.d.jpg", "cat/e.jpg")
    assert list(Folder(tmp_path)) == [Item("cat/e.jpg", "cat")]


def test_order_is_that_of_names_not_of_the_disk(tmp_path: Path) -> None:
    keys = [f"{folder}/{name}.jpg" for folder in "zyab" for name in ("10", "9", "b", "B", "a")]
    touch(tmp_path, *keys)
    found = [item.key for item in Folder(tmp_path)]
    assert found == sorted(keys)
    assert found == [item.key for item in Folder(tmp_path)]


def test_a_folder_called_like_an_image(tmp_path: Path) -> None:
    assert list(Folder(touch(tmp_path, "cat.jpg/1.jpg"))) == [Item("cat.jpg/1.jpg", "cat.jpg")]


def test_links(tmp_path: Path) -> None:
    """Links to files count, those that lead nowhere too; links to folders are not followed."""
    root = touch(tmp_path / "root", "cat/1.jpg")
    touch(tmp_path / "away", "2.jpg")
    (root / "cat" / "loop").symlink_to(root, target_is_directory=True)
    (root / "cat" / "loop.jpg").symlink_to(root, target_is_directory=True)
    (root / "cat" / "away").symlink_to(tmp_path / "away", target_is_directory=True)
    (root / "cat" / "2.jpg").symlink_to(tmp_path / "away" / "2.jpg")
    (root / "cat" / "3.jpg").symlink_to(tmp_path / "nowhere.jpg")
    source = Folder(root)
    assert [item.key for item in source] == ["cat/1.jpg", "cat/2.jpg", "cat/3.jpg"]
    assert source.read("cat/2.jpg") == b"x"
    assert source.stamp("cat/3.jpg") == MISSING


def test_faults(tmp_path: Path) -> None:
    assert "No such file" in fault(Folder(tmp_path / "none"))
    assert "Not a directory" in fault(Folder(touch(tmp_path, "a.jpg") / "a.jpg"))
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert "no image" in fault(Folder(tmp_path / "empty"))
    with pytest.raises(SourceError, match="no image"):
        Folder(tmp_path / "empty").class_names()


@pytest.mark.skipif(os.name != "posix", reason="only posix file names are bytes")
@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"caf\xe9/1.jpg"])
def test_names_that_are_not_utf_8(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    said = fault(Folder(tmp_path))
    assert r"caf\udce9" in said
    said.encode()


def test_stamp(tmp_path: Path) -> None:
    source = Folder(touch(tmp_path, "cat/1.jpg"))
    os.utime(tmp_path / "cat/1.jpg", ns=(5, 1_234_567_890))
    assert source.stamp("cat/1.jpg") == Stamp(1, 1_234_567_890)
    for key in ("cat/2.jpg", "none/1.jpg", "cat/1.jpg/1.jpg", "nul\0.jpg"):
        assert source.stamp(key) == MISSING


def test_reading(tmp_path: Path) -> None:
    source = Folder(touch(tmp_path, "cat/1.jpg"))
    assert source.read("cat/1.jpg") == b"x"
    os.mkfifo(tmp_path / "pipe.jpg")
    for key, said in (
        ("cat/2.jpg", "file not found"),
        ("cat/1.jpg/1.jpg", "file not found"),
        ("cat", "not a regular file"),
        ("pipe.jpg", "not a regular file"),
        ("nul\0.jpg", "not a file name"),
        ("x" * 300, "cannot be read (File name too long)"),
    ):
        with pytest.raises(ImageError) as caught:
            source.read(key)
        assert str(caught.value) == said


def test_what_this_machine_lacks_now_may_be_there_the_next_time(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg")
    source, (soft, hard) = Folder(tmp_path), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(PassingError, match=r"cannot be read \(Too many open files\)"):
            source.read("1.jpg")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert source.read("1.jpg") == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "2.jpg")
    (tmp_path / "2.jpg").chmod(0)
    with pytest.raises(ImageError, match=r"cannot be read \(Permission denied\): 2.jpg"):
        Folder(tmp_path).read("2.jpg")
    (tmp_path / "cat").chmod(0)
    try:
        assert "Permission denied" in fault(Folder(tmp_path))
    finally:
        (tmp_path / "cat").chmod(0o700)


def test_listing_holds_one_folder_at_a_time(tmp_path: Path) -> None:
    for folder in range(40):
        touch(tmp_path, *(f"{folder}/{'name' * 20}{n}.jpg" for n in range(50)))
    tracemalloc.start()
    count = sum(1 for _ in Folder(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2000
    assert peak < 60_000  # the names alone are 200,000 characters


def test_deep_folders(tmp_path: Path) -> None:
    deep = "/".join("d" * 300)
    assert list(Folder(touch(tmp_path, f"{deep}/1.jpg"))) == [Item(f"{deep}/1.jpg", "d")]
