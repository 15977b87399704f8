"""`clipcache loop CACHE RUN`."""

from pathlib import Path
from typing import Literal

import click

from .options import (
    batch_option,
    cache_argument,
    device_option,
    engine_option,
    head_option,
    head_start_option,
    json_option,
    label_noise_option,
    rounds_option,
    stop_option,
    strategy_option,
    train_on_option,
)


@click.command()
@cache_argument
@click.argument("run", type=click.Path(path_type=Path))
@strategy_option
@head_option
@click.option("--full-pool", is_flag=True, help="Score every image each round; the default.")
@click.option("--subsample", type=click.IntRange(1), help="Score only N random images a round.")
@click.option(
    "--init",
    default="kmeans",
    show_default=True,
    help="The first labels: kmeans:N (the middles of clusters), typiclust:N (typical of clusters), "
    "random:N, or stratified:N (of each class). Without a number, one for each class name.",
)
@batch_option
@rounds_option
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Decides every random choice.",
)
@click.option("--eval-size", type=click.IntRange(1), help="Evaluate on N test images.  [all]")
@train_on_option
@head_start_option
@label_noise_option
@stop_option
@device_option
@engine_option
@click.option(
    "--finetune",
    type=click.Choice(["fresh", "continue"]),
    help="After each round train the encoder on all labels so far, from its own weights or from "
    "those of the last round, and embed the pool anew: minutes a round.",
)
@click.option(
    "--images",
    help="With --finetune: where the images of CACHE lie, as for label: a folder, files, a table, "
    "a URL.",
)
@click.option(
    "--tune",
    metavar="all|blocks:N|lora:R",
    default="all",
    show_default=True,
    help="With --finetune: what is trained, as for finetune.",
)
@click.option(
    "--pretrained",
    metavar="TAG|FILE",
    help="With --finetune: where the weights of CACHE's encoder are, if they came from a file.  "
    "[what the cache remembers]",
)
@json_option
def command(
    cache: Path,
    run: Path,
    strategy: str,
    head: str,
    full_pool: bool,
    subsample: int | None,
    init: str,
    batch: int,
    rounds: int,
    seed: int,
    eval_size: int | None,
    train_on: Literal["all", "latest"],
    head_start: Literal["fresh", "continue"],
    label_noise: float,
    stop: str,
    device: str,
    engine: str,
    finetune: Literal["fresh", "continue"] | None,
    images: str | None,
    tune: str,
    pretrained: str | None,
    as_json: bool,
) -> None:
    """Replay active learning on CACHE with its own labels; keep everything in the folder RUN.

    Each round fits a head, measures it on the test split, scores the pool and asks for a batch.
    Run the same command again after a crash: it goes on where it was.
    """
    if full_pool and subsample:
        raise click.UsageError("--full-pool and --subsample exclude each other")
    if finetune and engine != "inline":
        raise click.UsageError("--finetune embeds the pool anew in each round: leave out --engine")
    from clipcache.cache.reader import EmbeddingCache
    from clipcache.finetune.kept import Kept, refuse_tuned
    from clipcache.loop import replay
    from clipcache.report.plots import save_learning_curve
    from clipcache.run import Run
    from clipcache.run_config import RunConfig

    from .output import print_json, rounds_table
    from .tables import print_table

    config = RunConfig(
        strategy=strategy,
        head=head,
        subsample=subsample,
        init=init,
        batch=batch,
        rounds=rounds,
        seed=seed,
        eval_size=eval_size,
        train_on=train_on,
        head_start=head_start,
        label_noise=label_noise,
        stop=stop,
    )
    found = EmbeddingCache.open(cache)
    if finetune:
        from clipcache.finetune.finetune import FinetuneOptions  # brings torch
        from clipcache.finetune.rounds import TunedRun
        from clipcache.finetune.tower import Tune
        from clipcache.finetune.tune import TuneOptions

        how = FinetuneOptions(TuneOptions(Tune.parse(tune)), pretrained)
        opened: Run = TunedRun.begin_tuned(run, config, found, finetune, images, how, device=device)
    else:
        refuse_tuned(run)
        opened = Run.begin(run, config, found, device=device, engine=engine)
    with rounds_table(opened.store.rounds(), quiet=as_json) as add_row:
        done = replay(opened, on_round=add_row)
    why = opened.stopped()
    title, classes = f"{strategy}, {len(opened.pool):,} images", len(opened.data.names)
    save_learning_curve(done, run / "curve.png", title, classes=classes)
    tuned = Kept(run).seconds()
    if as_json:
        found_out = {"run": str(run), "config": config, "rounds": done, "stopped": why}
        print_json(found_out | ({"finetune": tuned} if finetune else {}))
    else:
        if finetune:
            columns = ("round", "train s", "embed s")
            print_table(columns, [(r.round, r.train, r.embed) for r in tuned])
        click.echo(f"stopped: {why}")
        click.echo(f"learning curve: {run / 'curve.png'}")
