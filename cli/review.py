"""`clipcache review RUN`."""

from pathlib import Path

import click

from .options import json_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--top",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="Labels to show, the most doubtful first.",
)
@json_option
def command(run: Path, top: int, as_json: bool) -> None:
    """List labels of RUN that deserve a second look.

    Every label is judged by a head that was fitted without it; those that look like another class
    are listed, the least likely first. Nothing is changed.
    """
    from clipcache.review import already_learned, review
    from clipcache.run import Run

    from .output import print_json
    from .tables import print_table

    opened = Run.open(run)
    doubts = review(opened, top)
    if taught := already_learned(opened):
        click.echo(
            f"the encoder was trained on {taught:,} of the labels, so wrong ones among them are "
            "doubted too seldom; review the run that it was trained with, too",
            err=True,
        )
    if as_json:
        print_json(doubts)
    elif not doubts:
        click.echo("no label is doubted")
    else:
        columns = ("row", "label", "probability", "looks like", "probability", "by", "key")
        print_table(
            columns,
            (
                (
                    doubt.row,
                    doubt.label,
                    doubt.probability,
                    doubt.instead,
                    doubt.instead_probability,
                    ", ".join(doubt.annotators),
                    doubt.key,
                )
                for doubt in doubts
            ),
        )
