"""`clipcache-tiny`: a small, real CLIP of open_clip's own architecture, for demos and tests.

It was trained from scratch on procedurally drawn garments (README.md in this folder is its card),
so that everything clipcache does can be shown and tested without downloading a model. It knows
nothing about real photographs.
"""

from pathlib import Path

NAME = "clipcache-tiny"
CONFIG = Path(__file__).with_name("clipcache-tiny.json")
WEIGHTS = Path(__file__).with_name("weights.safetensors")
