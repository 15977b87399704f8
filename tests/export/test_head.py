"""The head can be used without clipcache: two arrays, and JSON that says what they mean."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.classifier import Classifier
from clipcache.export.base import export_as
from clipcache.heads.base import load_head
from tests.labelled_run import labelled_run


def test_the_file_and_its_words(tmp_path: Path, finished_cache: EmbeddingCache) -> None:
    with labelled_run(tmp_path / "run", finished_cache) as run:
        export_as("head", run, tmp_path / "head.safetensors")
        classifier = Classifier.of(run)
        x = run.data.features[run.pool[:20]].astype(np.float32)
        arrays = load_file(tmp_path / "head.safetensors")
        words = json.loads((tmp_path / "head.safetensors.json").read_text())
        expected = classifier.head.logits(x)
        np.testing.assert_allclose(x @ arrays["weight"] + arrays["bias"], expected, rtol=1e-5)
        np.testing.assert_array_equal(load_head(tmp_path / "head.safetensors").logits(x), expected)
        assert tuple(words["classes"]) == run.names
        assert len(words["classes"]) == expected.shape[1]
        assert words["temperature"] == classifier.calibration.temperature
        assert words["encoder"] == run.cache.identity.to_dict()
        assert words["labels"] == len(run.labelled()[0])
