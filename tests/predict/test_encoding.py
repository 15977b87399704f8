"""Images are encoded in their order, a few at a time, and broken ones keep their reason."""

from pathlib import Path

import numpy as np
import pytest

from clipcache.images.folder import Folder
from clipcache.predict.encoding import AHEAD, encode_all
from tests.pictures import folder, hostile
from tests.real_encoder import Counting, tiny


def test_every_image_in_order_with_its_vector_or_its_reason(tmp_path: Path) -> None:
    reasons = hostile(folder(tmp_path, {"coat": 7, "hat": 4}))
    source = Folder(tmp_path)
    parts = list(encode_all(source, tiny(), batch_size=4, workers=2))
    keys = [key for part in parts for key in part.keys]
    why = [reason for part in parts for reason in part.reasons]
    assert keys == [item.key for item in source]
    for key, reason in zip(keys, why, strict=True):
        assert (reasons[key] in reason) if key in reasons else reason == ""
    vectors = np.concatenate([part.vectors for part in parts])
    assert vectors.shape == (11, tiny().identity.dim)
    (alone,) = [part for part in encode_all(source, tiny(), batch_size=100, workers=1) if part.keys]
    np.testing.assert_allclose(vectors, alone.vectors, atol=1e-6)


def test_a_batch_of_broken_images_has_no_vector(tmp_path: Path) -> None:
    hostile(tmp_path)
    (part,) = encode_all(Folder(tmp_path), tiny(), batch_size=64, workers=1)
    assert part.vectors.shape == (0, tiny().identity.dim)
    assert all(part.reasons)


def test_only_a_few_batches_are_read_ahead(tmp_path: Path) -> None:
    class Watched(Folder):
        reads = 0

        def read(self, key: str) -> bytes:
            Watched.reads += 1
            return super().read(key)

    folder(tmp_path, {"coat": 30})
    encoder = Counting()
    parts = encode_all(Watched(tmp_path), encoder, batch_size=2, workers=2)
    next(parts)
    assert encoder.images == 2
    assert Watched.reads <= 2 * (1 + AHEAD)
    parts.close()


def test_a_fault_of_the_source_is_raised(tmp_path: Path) -> None:
    from clipcache.errors import SourceError

    with pytest.raises(SourceError, match="no image"):
        list(encode_all(Folder(tmp_path), tiny(), batch_size=2, workers=2))
