"""What people use today for the same job, and the floors below which nobody gets.

All of them get what they like best, a float32 copy of the pool, which is not counted as time.
"""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from clipcache.arrays import Features, Vectors
from clipcache.heads.base import LinearWeights
from clipcache.threads import available_threads

Task = Callable[[], Any]
K = 10
"""Size of the batch that everybody is asked for."""
BLOCK = 2048
"""Rows at a time of the product alone, best of 512 to 8,192 on the machines tried."""


def peers(x: Vectors, head: LinearWeights) -> Iterator[tuple[str, Task]]:
    """Yield the name and one query of everyone who is installed: margin, best 10 of all rows."""
    yield "numpy", lambda: numpy_pipeline(x, head)
    yield "torch", lambda: torch_pipeline(torch.from_numpy(x), head)
    # With fewer than three classes scikit-learn's model is another one.
    if importlib.util.find_spec("sklearn") and len(head.bias) > 2:
        model = _sklearn(head)
        yield "scikit-learn", lambda: _least_margin(model.predict_proba(x))
        if importlib.util.find_spec("modAL"):
            yield "modAL", _modal(x, model)
        if importlib.util.find_spec("skactiveml"):
            yield "scikit-activeml", _skactiveml(x, head)


def numpy_pipeline(x: Vectors, head: LinearWeights) -> Any:
    """Return the positions of the smallest margins: product, softmax, partition."""
    logits = x @ head.weight + head.bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _least_margin(powers / powers.sum(axis=1, keepdims=True))


def torch_pipeline(x: torch.Tensor, head: LinearWeights) -> Any:
    """Return the positions of the smallest margins: addmm, softmax, topk, topk."""
    weight = torch.from_numpy(head.weight).to(x.device)
    bias = torch.from_numpy(head.bias).to(x.device)
    best = torch.softmax(torch.addmm(bias, x, weight), dim=1).topk(min(2, len(bias)), dim=1).values
    return (best[:, 0] - best[:, -1]).topk(K, largest=False).indices.cpu()


def products(x: Vectors, head: LinearWeights) -> Iterator[tuple[str, Task]]:
    """Yield the matrix product alone, block by block in as many threads as there are processors."""
    rows, weight = torch.from_numpy(x), torch.from_numpy(head.weight)
    columns = weight.shape[1]

    def with_numpy(starts: range) -> None:
        out = np.empty((BLOCK, columns), dtype=np.float32)
        for start in starts:
            part = x[start : start + BLOCK]
            np.matmul(part, head.weight, out=out[: len(part)])

    def with_torch(starts: range) -> None:
        torch.set_num_threads(1)  # holds for this thread
        out = torch.empty((BLOCK, columns))
        for start in starts:
            part = rows[start : start + BLOCK]
            torch.mm(part, weight, out=out[: len(part)])

    yield "numpy product", lambda: _in_threads(with_numpy, len(x), BLOCK)
    yield "torch product", lambda: _in_threads(with_torch, len(x), BLOCK)


def reading(features: Features | Vectors) -> Task:
    """Return the reading of all bytes alone."""
    flat = features.reshape(-1)
    words = flat[: len(flat) // 4 * 4].view(np.uint64)
    size = 2**18  # 2 MB

    def add(starts: range) -> None:
        for start in starts:
            words[start : start + size].sum()

    return lambda: _in_threads(add, len(words), size)


def _in_threads(work: Callable[[range], None], length: int, step: int) -> None:
    threads = available_threads()
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (range(t * step, length, threads * step) for t in range(threads))))


def _least_margin(probs: Any) -> Any:
    if probs.shape[1] == 1:
        return np.arange(K)
    best = np.partition(probs, -2, axis=1)
    return np.argpartition(best[:, -1] - best[:, -2], K)[:K]


def _sklearn(head: LinearWeights) -> Any:
    """Return a fitted logistic regression with this head's weights."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    classes = np.arange(len(head.bias))
    model.fit(np.eye(len(head.weight), dtype=np.float32)[classes % len(head.weight)], classes)
    model.coef_, model.intercept_ = np.ascontiguousarray(head.weight.T), head.bias
    return model


def _modal(x: Vectors, model: Any) -> Task:
    from modAL.models import ActiveLearner
    from modAL.uncertainty import margin_sampling

    learner = ActiveLearner(estimator=model, query_strategy=margin_sampling)
    return lambda: learner.query(x, n_instances=K)


def _skactiveml(x: Vectors, head: LinearWeights) -> Task:
    from skactiveml.classifier import SklearnClassifier
    from skactiveml.pool import UncertaintySampling

    classes = np.arange(len(head.bias))
    model = SklearnClassifier(_sklearn(head), classes=classes)
    model.fit(np.eye(len(head.weight), dtype=np.float32)[classes % len(head.weight)], classes)
    fitted = model.estimator_
    fitted.coef_, fitted.intercept_ = np.ascontiguousarray(head.weight.T), head.bias
    unknown = np.full(len(x), np.nan)
    query = UncertaintySampling(method="margin_sampling", random_state=0)
    return lambda: query.query(x, unknown, model, fit_clf=False, batch_size=K)
