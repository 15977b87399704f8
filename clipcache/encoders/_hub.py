"""Weights from a hub: without other people's log lines, and without waiting where there is none."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants


@contextmanager
def made_quietly() -> Iterator[None]:
    """Make a network in here: nothing is logged, and "random" is the same network every time."""
    # Networks are made on the processor; to look at the generator of a GPU would begin to use it.
    with torch.random.fork_rng(devices=[]), silence(), _no_vain_retries():
        torch.default_generator.manual_seed(0)
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Keep the logging of others off the terminal: what counts, we say in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _no_vain_retries() -> Iterator[None]:
    """Let the hub's client look only into its local cache where its host cannot be reached.

    It would retry in silence for three quarters of a minute otherwise.
    """
    before = constants.HF_HUB_OFFLINE
    try:
        if not getproxies():
            host = urlsplit(constants.ENDPOINT)
            socket.create_connection((host.hostname, host.port or 443), timeout=5).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def first_line(error: Exception) -> str:
    """Return what an error of a library says first."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
