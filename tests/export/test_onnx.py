"""One file from pixels to probabilities, which says what PyTorch says."""

import importlib.util
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from clipcache import registry
from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.classifier import Calibration, Classifier
from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import EncoderError, RunError
from clipcache.export import onnx
from clipcache.export._network import head_module
from clipcache.export.base import ExportOptions, export_as
from clipcache.heads.base import FittedHead, LinearWeights
from clipcache.images.source import SourceOptions, open_source
from tests.export.conftest import Labelled
from tests.labelled_run import drawn_cache, labelled_run
from tests.pictures import draw, folder, hostile
from tests.real_encoder import tiny

PHOTOS = Path(__file__).parents[2].parent / "shared/data/clothing/images"


class Exported(NamedTuple):
    said: str
    path: Path
    classifier: Classifier


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    base = tmp_path_factory.mktemp("onnx")
    hostile(folder(base / "few", {"": 3}))
    with labelled_run(base / "run", drawn_cache(base), rounds=1, init="random:10") as run:
        options = ExportOptions(images=base / "few")
        said = export_as("onnx", run, base / "model.onnx", options)
        return Exported(said, base / "model.onnx", Classifier.of(run))


@pytest.fixture(scope="module")
def session(exported: Exported) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])


def prepared(image: Image.Image, metadata: dict[str, Any]) -> np.ndarray:
    """What the metadata say is to be done, with Pillow alone."""
    how = metadata["preprocessing"]
    assert (how["resize"], how["interpolation"], how["crop"]) == ("shortest", "bicubic", "center")
    size = how["size"]
    scale = size / min(image.size)
    wide, high = (max(size, int(side * scale)) for side in image.size)
    resized = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def metadata_of(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    found = session.get_modelmeta().custom_metadata_map
    return {name: json.loads(text) for name, text in found.items()}


def test_it_says_how_far_it_is_from_pytorch(exported: Exported) -> None:
    assert "2 classes; on 16 random images and 3 photos" in exported.said
    assert float(exported.said.split("within ")[1].split()[0]) < 1e-5
    assert [path.name for path in exported.path.parent.glob("*.onnx*")] == ["model.onnx"]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_number_of_images_gives_what_pytorch_gives(
    session: onnxruntime.InferenceSession, exported: Exported, batch: int
) -> None:
    images = [draw(seed, (50 + 9 * seed, 80)) for seed in range(batch)]
    metadata = metadata_of(session)
    pixels = np.stack([prepared(image, metadata) for image in images])
    probabilities, embedding = session.run(None, {"images": pixels})
    x = tiny().encode_images(np.stack([tiny().preprocess(image) for image in images]))
    logits = exported.classifier.head.logits(x) / exported.classifier.calibration.temperature
    np.testing.assert_allclose(embedding, x, atol=1e-5)
    np.testing.assert_allclose(probabilities, softmax(logits, axis=1), atol=1e-5)


def test_the_metadata_name_everything(
    session: onnxruntime.InferenceSession, exported: Exported
) -> None:
    metadata = metadata_of(session)
    assert tuple(metadata["classes"]) == exported.classifier.names
    assert metadata["encoder"] == tiny().identity.to_dict()
    assert metadata["temperature"] == exported.classifier.calibration.temperature
    assert [output.name for output in session.get_outputs()] == ["probabilities", "embedding"]


def test_an_encoder_that_computes_and_decodes_faster_is_written_in_float32(
    tmp_path: Path,
) -> None:
    root = folder(tmp_path / "photos", {"coat": 9, "hat": 9})
    options = EncoderOptions("clipcache-tiny", None, "cpu", "bfloat16", fast_decode=True)
    encoder = load_encoder(options)
    embed(open_source(root, SourceOptions()), encoder, tmp_path / "cache", EmbedOptions())
    cache = EmbeddingCache.open(tmp_path / "cache")
    with labelled_run(tmp_path / "run", cache, rounds=1, init="random:8", batch=4) as run:
        export_as("onnx", run, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    metadata = metadata_of(session)
    assert metadata["encoder"] == encoder.identity.to_dict() | {"dtype": "float32", "checked": ""}
    pixels = np.stack([prepared(draw(seed, (90, 80)), metadata) for seed in range(3)])
    embedding = session.run(["embedding"], {"images": pixels})[0]
    x = encoder.encode_images(np.stack([encoder.preprocess(draw(s, (90, 80))) for s in range(3)]))
    assert (embedding * x).sum(axis=1).min() > 0.999


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not on this machine")
def test_on_real_photos(session: onnxruntime.InferenceSession) -> None:
    for path in sorted(PHOTOS.iterdir())[:8]:
        with Image.open(path) as image:
            pixels = prepared(image.convert("RGB"), metadata_of(session))[None]
            embedding = session.run(["embedding"], {"images": pixels})[0]
            expected = tiny().encode_images(tiny().preprocess(image.convert("RGB"))[None])
            np.testing.assert_allclose(embedding, expected, atol=1e-5)


@pytest.mark.parametrize("name", registry.names("heads"))
def test_each_head_says_in_pytorch_what_it_says_in_numpy(
    name: str, tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with labelled_run(tmp_path / "run", finished_cache, head=name, rounds=2) as run:
        head = Classifier.of(run).head
        x = run.data.features[run.pool[:40]].astype(np.float32)
        with torch.inference_mode():
            found = head_module(head)(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, head.logits(x), rtol=1e-4, atol=1e-4)


def test_a_class_that_is_ruled_out_stays_so() -> None:
    head = LinearWeights(np.ones((3, 2), np.float32), np.array([0, -np.inf], np.float32))
    logits = head_module(head)(torch.ones(1, 3))
    assert torch.softmax(logits, dim=1).tolist() == [[1, 0]]


def test_an_unknown_head_is_refused() -> None:
    class Mine(LinearWeights):
        pass

    with pytest.raises(RunError, match=r"heads of type Mine cannot be .* --format head"):
        head_module(Mine(np.ones((3, 2), np.float32), np.zeros(2, np.float32)))


def small(head: FittedHead | None = None) -> Classifier:
    d = tiny().identity.dim
    weights = LinearWeights(np.ones((d, 2), np.float32), np.zeros(2, np.float32))
    return Classifier(head or weights, ("coat", "hat"), 2, Calibration(1.0, 0, False))


def test_a_file_that_is_not_close_enough_is_not_kept(
    tmp_path: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another head's file in the place of the one that is to be written."""
    monkeypatch.setattr(
        onnx, "_write", lambda *a: Path(a[-1]).write_bytes(exported.path.read_bytes())
    )
    with pytest.raises(RunError, match=r"up to .* from PyTorch's, more than 1e-04; nothing"):
        onnx.write_onnx(tiny(), small(), tmp_path / "a.onnx", onnx.random_images())
    assert not list(tmp_path.iterdir())


def test_a_tower_that_one_file_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "LARGEST", 1000)
    with pytest.raises(RunError, match=r"clipcache-tiny takes .* GiB, but .* --format head"):
        onnx.write_onnx(tiny(), small(), tmp_path / "a.onnx", onnx.random_images())


def test_without_the_extra_one_line_says_how_to_get_it(
    tmp_path: Path, labelled: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if "onnx" in name else real(name))
    with pytest.raises(RunError, match=r'onnx, onnxruntime, onnxscript: pip install "clip'):
        export_as("onnx", labelled.run, tmp_path / "a.onnx")


def test_vectors_made_elsewhere_have_no_image_tower(labelled: Labelled, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="made elsewhere"):
        export_as("onnx", labelled.run, tmp_path / "a.onnx")
