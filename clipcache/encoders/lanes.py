"""Batches side by side, each on one processor, in the place of one batch on all of them.

Sums depend in their last bits on how many threads share them, so that one batch on all processors
has other vectors on another machine. Side by side nothing has to wait for anything else either.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def encoding_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads in which PyTorch works alone; until the end, it does so in this one as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count, "encode", torch.set_num_threads, (1,)) as threads:
            yield threads
    finally:
        torch.set_num_threads(before)


def count_gpus(device: str) -> int:
    """Return how many GPUs this machine has for "auto" or "cuda"; 0 for "cpu"."""
    return 0 if device == "cpu" else torch.cuda.device_count()
