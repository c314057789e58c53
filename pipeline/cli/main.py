"""Runs the command `objseek`: finds a command by its name, and imports it when it is called."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from pipeline.ingestion.log_file import show_warnings_as_text

# In the order of `objseek --help`: the file in commands/, and the first line of the command's help.
COMMANDS = {
    "demo": (
        "demo",
        "Compose a bucket of scenes, ingest it with the bundled models, and search it.",
    ),
    "ingest": (
        "ingest",
        "Segment every image, embed every object, and write both to the index.",
    ),
    "plan": (
        "plan",
        "Say what an ingest will cost before it runs: time, money and storage, part by part.",
    ),
    "init": (
        "init",
        "Set up a collection of a Qdrant server for so many objects, and explain each choice.",
    ),
    "search": (
        "search",
        "Search for objects by texts, an image, a region of it, other objects, or all of these.",
    ),
    "segment": (
        "segment",
        "Segment images: everything, at points and boxes, by a text, or every pixel by labels.",
    ),
    "serve": ("serve", "Search an index from a browser, and over HTTP."),
    "sync": (
        "sync",
        "Ingest what is new or changed, and remove from the index what is gone from its source.",
    ),
    "watch": (
        "watch",
        "Keep an index in step with its source, as images are added, changed and deleted there.",
    ),
    "status": (
        "status",
        "Show what an index holds: images by state, objects, models, size on disk.",
    ),
    "failures": (
        "failures",
        "List the images that are not in an index, each with the reason.",
    ),
    "retry": ("retry", "Try the images that failed again, and no others; nothing is listed."),
    "verify": (
        "verify",
        "Report, image by image, where an index differs from what was written or from its source.",
    ),
    "label": (
        "label",
        "Give every object of an index its most likely labels, without embedding anything again.",
    ),
    "reembed": (
        "reembed",
        "Embed every object of an index with another embedder; nothing is segmented again.",
    ),
    "generations": (
        "reembed",
        "List the generations of an index; use another one, or drop one.",
    ),
    "export": (
        "export",
        "Write all objects of an index to files that other programs read.",
    ),
    "import": (
        "export",
        "Bring an export, masks, or vectors that you already have into an index.",
    ),
    "backup": (
        "backup",
        "Write an index and its manifest to a folder or bucket, from which they can be restored.",
    ),
    "restore": ("backup", "Restore a backup into an empty index."),
    "migrate": (
        "backup",
        "Copy an index to another place: from a folder to a Qdrant server or a bucket, or back.",
    ),
    "optimize": (
        "optimize",
        "Put what was written to an index in order, for quick searches.",
    ),
    "tune": (
        "tune",
        "Fit a scorer of points to a segmenter, or with --truth a calibration to an embedder.",
    ),
    "eval": (
        "eval",
        "Score an index against ground truth: are the objects found, and does search find them?",
    ),
    "keys": ("keys", "Manage the keys of a search service that others can reach."),
    "models": ("models", "List models, or fetch their weights."),
}


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import the command `name` and return it. Raises KeyError."""
    file_name, _ = COMMANDS[name]
    registered = typer.Typer()
    import_module(f"pipeline.cli.commands.{file_name}").register(registered)
    command = get_group(registered).commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)
    return command


class LazyGroup(TyperGroup):
    """Lists commands as `COMMANDS` has them, and imports one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name, the command and its arguments."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and listed else None, rest


app = typer.Typer(
    cls=LazyGroup,
    name="objseek",
    help="Make every object in every image of a bucket searchable.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback is for a bug report, and is wanted as Python prints it.
    pretty_exceptions_enable=False,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"objseek {version('objseek')}")
        raise typer.Exit


@app.callback()
def _set_up(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    show_warnings_as_text()


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
