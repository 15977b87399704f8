"""The head as safetensors, and what its columns mean as JSON beside it.

The logits of a linear head are `x @ weight + bias` for a vector x of length 1; a softmax of them,
divided by the temperature, is as sure as it is right.
"""

from pathlib import Path

from clipcache.classifier.classifier import Classifier
from clipcache.export.base import ExportOptions, write_json
from clipcache.run import Run


def export(run: Run, out: Path, options: ExportOptions) -> str:
    """Write both files, and return what they hold, in words."""
    classifier = Classifier.of(run)
    classifier.head.save(out)
    beside = out.with_name(out.name + ".json")
    write_json(
        beside,
        {
            "classes": classifier.names,
            "temperature": classifier.calibration.temperature,
            "calibration": str(classifier.calibration),
            "labels": classifier.labels,
            "recipe": run.config.head,
            "encoder": run.cache.identity.to_dict(),
        },
    )
    return (
        f"a head of {len(classifier.names)} classes that learned from {classifier.labels:,} labels;"
        f" its class names are in {beside}"
    )
