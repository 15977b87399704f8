"""Image tower and head as one ONNX file: from pixels to calibrated probabilities.

What goes in are RGB pixels as they are, (b, s, s, 3) uint8, cropped as the metadata say; scaling
and normalising are inside. What comes out are `probabilities` (b, c) and `embedding` (b, d), unit
rows like those of the cache. The metadata hold the class names, the encoder and the temperature as
JSON. Whatever is written has been held against PyTorch first, on images of all sizes.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from PIL import Image
from scipy.special import softmax

from clipcache import __version__
from clipcache.classifier.classifier import Classifier
from clipcache.durable import whole_file
from clipcache.encoder_of import encoder_of
from clipcache.encoders._hub import silence
from clipcache.encoders.base import Encoder, TowerEncoder
from clipcache.errors import ImageError, RunError
from clipcache.export._network import Network, as_bytes, preprocessing
from clipcache.export.base import ExportOptions
from clipcache.images.decode import decode
from clipcache.images.folder import Folder
from clipcache.run import Run

TOLERANCE = 1e-4
"""How far a probability, or a number of a vector, may be from PyTorch's."""
LARGEST = 2**31 - 2**20
"""Bytes that one ONNX file can hold, less what the graph itself needs."""
CHECKED = 16
"""Images of a kind that the file is checked on."""


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write the file, and return how far it is from PyTorch, in words.

    Raises RunError where the extra is not installed, the head or the encoder cannot be written, or
    where the two differ by more than `TOLERANCE`.
    """
    _check_installed()
    identity = run.cache.identity
    # Not every program that runs such files knows the shorter types.
    encoder = encoder_of(identity, options.pretrained, device="cpu", precision="float32")
    if not _has_tower(encoder):
        raise RunError(
            f"the encoder {identity.model} of {identity.library} is no PyTorch module that could "
            "be written as ONNX; export the head alone, with --format head"
        )
    classifier = Classifier.of(run)
    noise, photos = random_images(), _photos(options.images) if options.images else []
    difference = write_onnx(encoder, classifier, out, [*noise, *photos])
    kinds = f"{len(noise)} random images" + f" and {len(photos)} photos" * bool(photos)
    return (
        f"{len(classifier.names)} classes; on {kinds} its probabilities and vectors are within "
        f"{difference:.1e} of PyTorch's"
    )


def _has_tower(encoder: Encoder) -> TypeGuard[TowerEncoder]:
    return isinstance(getattr(encoder, "tower", None), torch.nn.Module)


def write_onnx(
    encoder: TowerEncoder, classifier: Classifier, out: Path, images: Iterable[Image.Image]
) -> float:
    """Write the file, and return the largest difference from PyTorch on at least two images.

    Raises RunError, and leaves nothing, where it is above `TOLERANCE`.
    """
    network = Network(encoder, classifier).eval()
    if network.bytes > LARGEST:
        raise RunError(
            f"the image tower of {encoder.identity.model} takes {network.bytes / 2**30:.1f} GiB, "
            "but an ONNX file holds 2; export the head alone, with --format head"
        )
    with whole_file(out) as partial:
        _write(network, encoder, classifier, partial)
        difference = _difference(partial, encoder, classifier, images)
        if not difference <= TOLERANCE:
            raise RunError(
                f"what comes out of the network is up to {difference:.1e} from PyTorch's, more "
                f"than {TOLERANCE:.0e}; nothing was written: please report this, with "
                f"{encoder.identity.model} and torch {torch.__version__}"
            )
    return difference


def _write(network: Network, encoder: TowerEncoder, classifier: Classifier, path: Path) -> None:
    size = encoder.identity.image_size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with silence():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probabilities", "embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    facts = {
        "classes": classifier.names,
        "temperature": classifier.calibration.temperature,
        "calibration": str(classifier.calibration),
        "encoder": encoder.identity.to_dict(),
        "preprocessing": preprocessing(encoder),
        "clipcache": __version__,
    }
    program.model.metadata_props.update({name: json.dumps(fact) for name, fact in facts.items()})
    program.save(path)


def _difference(
    path: Path, encoder: TowerEncoder, classifier: Classifier, images: Iterable[Image.Image]
) -> float:
    """Return the largest difference between the file and PyTorch, of all numbers that come out.

    Several images in the second batch, one in the first: both must work.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = np.stack([encoder.preprocess(image) for image in images])
    vectors = encoder.encode_images(pixels)
    expected = softmax(classifier.calibrated.logits(vectors), axis=1)
    raw = as_bytes(encoder, pixels)
    found = [session.run(None, {"images": part}) for part in (raw[:1], raw[1:])]
    probabilities, embedding = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return float(max(np.abs(probabilities - expected).max(), np.abs(embedding - vectors).max()))


def random_images() -> list[Image.Image]:
    """Return images of noise, wide and high, small and large; the same ones every time."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 500, (CHECKED, 2)).tolist()
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for height, width in sizes
    ]


def _photos(folder: Path) -> list[Image.Image]:
    """Return the first images of a folder that can be used."""
    source = Folder(folder)

    def usable() -> Iterator[Image.Image]:
        for item in source:
            with suppress(ImageError):
                yield decode(source.read(item.key))

    return list(islice(usable(), CHECKED))


def _check_installed() -> None:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise RunError(f'--format onnx needs {", ".join(missing)}: pip install "clipcache[onnx]"')
