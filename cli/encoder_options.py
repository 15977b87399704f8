"""Options of commands that load a cache's encoder again."""

import click

pretrained_option = click.option(
    "--pretrained",
    metavar="TAG|FILE",
    help="Where the encoder's weights are, if they came from a file.  [what the cache remembers]",
)
encoder_device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the encoder works; auto takes CUDA where there is one.",
)
