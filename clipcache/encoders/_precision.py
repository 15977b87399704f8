"""Less than float32 where the device is faster with it, and only where the vectors stay the same.

What is lost depends on the network and on the device, so it is measured each time: the same images
through both, and the cosine between what comes out.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from PIL import Image

from clipcache.arrays import Pixels, Vectors
from clipcache.encoders._hub import first_line
from clipcache.encoders._tower import Tower
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import DeviceError, EncoderError
from clipcache.tiny.garments import GARMENTS
from clipcache.tiny.render import render

LEAST = 0.999
"""The least cosine to the vector of float32, for each image: storing a vector as float16 costs
0.0000001 of it, saving the photo as a JPEG of quality 75 about 0.0013."""
IMAGES = 32
"""How many images that is measured on."""
SIDE = 256
TENSOR_CORES = (7, 0)
"""The first generation of NVIDIA cards that is faster at float16."""


def settle(
    tower: Tower, options: EncoderOptions, preprocess: Callable[[Image.Image], Pixels]
) -> tuple[Tower, str]:
    """Return the tower in the precision that was asked for, and what was measured, in one line.

    "auto" stays in float32 where the device gains nothing by less, or where less is not as good.
    What `options.checked` tells of is not measured again. Raises EncoderError where a precision
    that was asked for by name is not as good, DeviceError where a GPU has no room to measure it.
    """
    auto = options.precision == "auto"
    names = fast_types(tower.device) if auto else (options.precision,)
    said = options.checked
    for name in names:
        if name == tower.precision:
            break
        lower = _lowered(tower, name)
        if said:
            return lower, said
        fault, measured = _compare(tower, lower, preprocess)
        if not fault:
            return lower, measured
        if not auto:
            raise EncoderError(f"{fault}; use --precision float32")
        said = f"{fault}; float32 is used instead"
    return tower, said


def fast_types(device: torch.device) -> tuple[str, ...]:
    """Return what a device has arithmetic of its own for beside float32, the best first."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "float16"
        return ("float16",) if torch.cuda.get_device_capability(device) >= TENSOR_CORES else ()
    # Without such instructions PyTorch computes the same in float32 and rounds: slower than that.
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has = any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return ("bfloat16",) if has else ()


def _lowered(tower: Tower, name: str) -> Tower:
    lower = deepcopy(tower)
    lower.dtype = getattr(torch, name)
    lower.body.to(lower.dtype)
    return lower


def _compare(
    full: Tower, lower: Tower, preprocess: Callable[[Image.Image], Pixels]
) -> tuple[str, str]:
    """Return what is wrong with the lower precision ("": nothing), and what was measured."""
    what = f"{lower.precision} on {full.device.type}"
    pixels = np.stack([preprocess(image) for image in sample_images()])
    try:
        cosines = _cosines(full.encode(pixels), lower.encode(pixels))
    except DeviceError as error:  # with more memory it might be as good
        raise DeviceError(
            f"{what} cannot be measured: {IMAGES} images do not fit into the memory of the GPU; "
            "use --precision float32, or end what else uses the GPU"
        ) from error
    except RuntimeError as error:  # not everything is there in every type
        return f"{what} cannot be computed: {first_line(error)}", ""
    mean, least = cosines.mean(), cosines.min()
    measured = (
        f"{what}, against float32 on {IMAGES} images: cosine {mean:.6f} on average, "
        f"{least:.6f} at least"
    )
    if least >= LEAST:  # not so where it is NaN
        return "", measured
    return f"{measured}, but {LEAST} is asked for", measured


def _cosines(a: Vectors, b: Vectors) -> Vectors:
    cosines: Vectors = (a.astype(np.float64) * b).sum(axis=1)
    return cosines


def sample_images() -> list[Image.Image]:
    """Return the same images every time: drawn garments, and clouds of all sizes in all colours.

    Photos have detail of every size, the more the larger it is; so do such clouds (Field 1987,
    "Relations between the statistics of natural images and the response properties of cortical
    cells").
    """
    rng = np.random.default_rng(0)
    drawn = [render(i % len(GARMENTS), rng=rng, size=SIDE) for i in range(IMAGES // 2)]
    return drawn + [_clouds(rng) for _ in range(IMAGES - len(drawn))]


def _clouds(rng: np.random.Generator) -> Image.Image:
    waves = np.fft.fftfreq(SIDE)
    falling = 1 / np.maximum(np.hypot(waves[:, None], waves), 1 / SIDE)
    noise = np.fft.fft2(rng.standard_normal((3, SIDE, SIDE)))
    colours = np.fft.ifft2(noise * falling).real.transpose(1, 2, 0)  # (s, s, 3)
    colours = 128 + 50 * (colours - colours.mean()) / colours.std()
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
