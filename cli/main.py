"""`clipcache`: finds the command's file, runs it, and turns our errors into one line."""

import sys
from importlib import import_module
from keyword import iskeyword

import click

from clipcache import __version__
from clipcache.errors import ClipcacheError

COMMANDS = (
    "bench",
    "compare",
    "demo",
    "embed",
    "export",
    "finetune",
    "import",
    "info",
    "label",
    "label-studio",
    "loop",
    "predict",
    "review",
    "search",
    "verify",
)


class Commands(click.Group):
    """Imports the file of a command only when that command is asked for or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands, sorted."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the function `command` of `cli/<name>.py`, or of `cli/import_.py`."""
        if name not in COMMANDS:
            return None
        module = f".{name.replace('-', '_')}{'_' if iskeyword(name) else ''}"
        found: click.Command = import_module(module, __package__).command
        return found


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def clipcache() -> None:
    """Active learning over CLIP embeddings that are computed once.

    Start with `clipcache demo`. On your own photos: `clipcache embed`, then `clipcache loop`.
    """


def main() -> None:
    """Run the command line; exit 1 with one line for every error that is not a bug of ours."""
    try:
        clipcache.main(prog_name="clipcache")
    except (ClipcacheError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
