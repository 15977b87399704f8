"""Train `clipcache-tiny` from scratch: contrastive, on pictures drawn while it trains.

Every batch is drawn from (seed, step) alone, so a run is the same whatever draws it; one worker
process draws while the other core trains. No picture is ever shown twice.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import open_clip
import safetensors.torch
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clipcache.tiny import CONFIG, NAME, WEIGHTS
from clipcache.tiny.captions import vocabulary
from clipcache.tiny.garments import CLASSES
from clipcache.tiny.render import render_with_caption

TRAINING, EVALUATION = 1, 2  # streams of pictures that share none, whatever the seeds

Batch = tuple[Tensor, Tensor]  # (b, s, s, 3) uint8 pixels and (b, t) int64 tokens

_LOG_EVERY = 50  # steps
_WARM_UP = 100  # steps
_PEAK_RATE = 2e-3
_LARGEST_SCALE = float(np.log(100))  # CLIP's own cap on the logit scale


class FreshPictures(Dataset[Batch]):
    """Batches of captioned pictures, item ``step`` drawn from (seed, step) and nothing else."""

    def __init__(self, *, seed: int, steps: int, batch_size: int, image_size: int) -> None:
        self._seed, self._steps = seed, steps
        self._batch_size, self._image_size = batch_size, image_size
        self._tokenize = open_clip.get_tokenizer(NAME)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((TRAINING, self._seed, step))
        labels = rng.integers(len(CLASSES), size=self._batch_size)
        side = self._image_size
        drawn = [render_with_caption(int(label), rng=rng, size=side) for label in labels]
        pixels = [np.asarray(picture) for picture, _ in drawn]
        tokens: Tensor = self._tokenize([caption for _, caption in drawn])
        return torch.from_numpy(np.stack(pixels)), tokens


def new_model(*, seed: int) -> Any:
    """Return an untrained open_clip model of our configuration, channels last for speed."""
    open_clip.add_model_config(CONFIG)
    torch.manual_seed(seed)
    model = open_clip.create_model(NAME, pretrained=None)
    return model.to(memory_format=torch.channels_last)


def train(*, steps: int, seed: int, batch_size: int, report: Callable[[str, Any], None]) -> Any:
    """Return a model trained for ``steps`` batches; ``report`` gets a line and it as it is now."""
    model = new_model(seed=seed)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model), lr=_PEAK_RATE, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    loss_of = open_clip.ClipLoss()
    start, losses = time.perf_counter(), []
    for step, (images, tokens) in enumerate(_batches(model, steps, seed, batch_size), start=1):
        image_rows, text_rows, scale = model(images, tokens)
        loss = loss_of(image_rows, text_rows, scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, _LARGEST_SCALE)
        losses.append(loss.item())
        if step % _LOG_EVERY == 0 or step == steps:
            seconds = time.perf_counter() - start
            recent = float(np.mean(losses[-_LOG_EVERY:]))
            line = f"step {step}/{steps}  loss {recent:.3f}  {seconds:.0f} s"
            report(line, model)
    return model.eval()


def save(model: Any, path: Path, *, seen_tokens: Tensor) -> None:
    """Write the weights as float16, the embeddings of words that no caption used set to zero."""
    weights = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    unseen = torch.ones(len(weights["token_embedding.weight"]), dtype=torch.bool)
    unseen[seen_tokens] = False
    weights["token_embedding.weight"] = weights["token_embedding.weight"].masked_fill(
        unseen[:, None], 0
    )
    halved = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    safetensors.torch.save_file(halved, path)


def caption_tokens() -> Tensor:
    """Return the token numbers ``(k,) int64`` that captions are made of."""
    tokens: Tensor = torch.unique(open_clip.get_tokenizer(NAME)(vocabulary()))
    return tokens


def _batches(model: Any, steps: int, seed: int, batch_size: int) -> Iterator[Batch]:
    """Yield normalised images ``(b, 3, s, s) float32`` and tokens ``(b, t) int64``."""
    cfg = model.visual.preprocess_cfg
    mean, std = (255 * torch.tensor(cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    size = model.visual.image_size
    pictures = FreshPictures(
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        image_size=size if isinstance(size, int) else size[0],
    )
    loader = DataLoader(pictures, batch_size=None, num_workers=1, prefetch_factor=8)
    for pixels, tokens in loader:
        yield (pixels.permute(0, 3, 1, 2).float() - mean) / std, tokens


def _parameter_groups(model: Any) -> list[dict[str, Any]]:
    """Return the parameters with weight decay on matrices only."""
    matrices = [p for name, p in model.named_parameters() if p.ndim > 1 and "embedding" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim <= 1 or "embedding" in name]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def _rate(step: int, steps: int) -> float:
    """Return the learning rate's factor: a linear warm-up, then half a cosine to zero."""
    warm_up = min(_WARM_UP, max(1, steps // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm_up) / max(1, steps - warm_up))))


@click.command()
@click.option("--steps", default=1800, show_default=True, help="Batches to train on.")
@click.option("--batch-size", default=128, show_default=True, help="Pictures in a batch.")
@click.option("--seed", default=0, show_default=True, help="Decides weights and pictures.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=WEIGHTS.parent)
def main(steps: int, batch_size: int, seed: int, out: Path) -> None:
    """Train clipcache-tiny and write OUT/weights.safetensors."""
    torch.set_num_threads(1)  # the other core draws; two threads in step wait for each other
    out.mkdir(parents=True, exist_ok=True)

    def report(line: str, model: Any) -> None:
        save(model, out / WEIGHTS.name, seen_tokens=caption_tokens())
        click.echo(line)

    train(steps=steps, seed=seed, batch_size=batch_size, report=report)
    click.echo(f"wrote {out / WEIGHTS.name}")


if __name__ == "__main__":
    main()
