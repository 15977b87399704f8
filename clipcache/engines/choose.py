"""Engines by name, with as many workers as there is hardware for."""

from functools import partial

from clipcache.encoders.lanes import count_gpus
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.engines.work import Engine
from clipcache.errors import EngineError
from clipcache.threads import available_threads

ENGINES = ("inline", "processes", "ray")


def make_engine(name: str, options: EncoderOptions, workers: int | None) -> Engine | None:
    """Return the engine; None stands for `inline`, which takes an encoder that is there already.

    Parameters
    ----------
    options : the encoder that each worker makes for itself, on a GPU of its own where there are
        some and its device allows for it. Those of this machine count, and with `ray` those of
        the cluster, though with the device "cuda" this machine needs one as well.
    workers : how many; None: one for each GPU, else for each processor.

    Raises EngineError for a name that is none of ENGINES.
    """
    make_encoder, gpus = partial(load_encoder, options), count_gpus(options.device)
    if name == "inline":
        return None
    if name == "processes":
        from clipcache.engines.processes import Processes

        return Processes(make_encoder, workers or gpus or available_threads(), gpus)
    if name == "ray":
        from clipcache.engines.ray import Ray

        return Ray(make_encoder, gpus=0 if options.device == "cpu" else 1, count=workers)
    raise EngineError(f"no engine called {name!r}; there are: {', '.join(ENGINES)}")
