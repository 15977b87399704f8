"""clip-retrieval's own embedding of a folder, where it is installed, with the same model as ours.

It knows no weights but published ones, so the model is handed to it.
"""

import shutil
import time
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from clipcache.benchmark.embed_parts import Job, Lap
from clipcache.benchmark.memory import forget_peak, peak_mb
from clipcache.benchmark.plain_loop import load_model

NAME = "clip-retrieval"
BATCH = 256
"""Its default."""


def is_installed() -> bool:
    """Return whether there is one to measure."""
    return find_spec("clip_retrieval") is not None


def clip_inference(job: Job, out: Path) -> Lap:
    """Measure one pass, which is written to the folder `out`."""
    from clip_retrieval.clip_inference import mapper, worker

    model = load_model(job.encoder)
    for module in (mapper, worker):
        module.load_clip = lambda **_: (model.net, model.transform, None)
    shutil.rmtree(out, ignore_errors=True)
    count = sum(1 for _ in job.images.iterdir())
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        forget_peak()
        began = time.perf_counter()
        worker.worker(
            tasks=[0],
            input_dataset=str(job.images),
            output_folder=str(out),
            output_partition_count=1,
            batch_size=BATCH,
            num_prepro_workers=job.workers,
            enable_text=False,
        )
        return Lap(count, time.perf_counter() - began, peak_mb())
