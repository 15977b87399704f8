"""Where images are: keys are quoted, and each token of ours is good for one image of one run."""

from pathlib import Path

import pytest

from clipcache.errors import LabelStudioError
from clipcache.label_studio.images import address_of


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("https://host/{key}", "https://host/a%20b/%C3%A9%20%7Brow%7D%3F.jpg"),
        ("https://host/{row}.jpg?size=1", "https://host/7.jpg?size=1"),
        ("s3://bucket/{key}", "s3://bucket/a%20b/%C3%A9%20%7Brow%7D%3F.jpg"),
        ("/data/local-files/?d={key}", "/data/local-files/?d=a%20b/%C3%A9%20%7Brow%7D%3F.jpg"),
    ],
)
def test_addresses_of_the_users_own(tmp_path: Path, pattern: str, expected: str) -> None:
    assert address_of(pattern, tmp_path)(7, "a b/é {row}?.jpg") == expected


def test_each_image_of_each_run_has_a_token_of_its_own_that_stays(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    found = [address_of("http://h:1/", folder)(row, "x") for folder in folders for row in (1, 2)]
    tokens = [address.split("/")[-2] for address in found]
    assert len(set(tokens)) == 4
    assert all(len(token) == 32 for token in tokens)
    assert found[0] == f"http://h:1/image/{tokens[0]}/1"
    assert address_of("http://h:1", folders[0])(1, "y") == found[0]


@pytest.mark.parametrize("where", ["http://h/{image}", "h:1", "http://u:p@h", ""])
def test_what_is_no_place_for_images(tmp_path: Path, where: str) -> None:
    with pytest.raises(LabelStudioError, match="--image-url"):
        address_of(where, tmp_path)
