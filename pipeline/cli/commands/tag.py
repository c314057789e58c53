"""`objseek tag`: what people call objects."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import user_errors
from pipeline.cli.filter_option import FilterCommand, Filters
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CONFIG, INDEX, INDEX_EMBEDDER, STATE
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options

with lazy_imports():
    from pipeline.cli import run_tag

_HELP = """Tag objects of an index, take tags from them, or list the tags that there are.

A tag is a short name of your own, 1 to 64 characters as you write them, that any object may have
beside its labels; an object may have 64. Searches filter by it (--filter 'tags=to print'), and
count it. Tags stay with an object when its image is ingested again unchanged, embedded anew or
labelled, and in exports, backups and migrations; an image that has changed has new objects,
without tags.

Objects are named by the ids that a search prints, or `-`: one id a line is read from standard input
then. With --filter all objects that meet the conditions are meant; several may follow one --filter.
Without --add and --remove the tags are listed, with how many objects have each.

Examples:

    objseek tag --filter 'labels=mug' 'area_frac>0.05' --add 'to print' --index photos-index

    objseek search "a red apple" --json | jq -r '.[].object_id' | objseek tag - --add fruit

    objseek tag 9a7c3a0e-6f0f-5d51-8d29-0d2d1a4a7f11 --remove fruit

    objseek tag --index photos-index
"""


def register(app: typer.Typer) -> None:
    """Add `tag` to the command line."""
    app.command("tag", cls=FilterCommand, help=_HELP)(tag_command)


@add_options(INDEX, INDEX_EMBEDDER, STATE, CONFIG)
@user_errors
def tag_command(
    load: Load,
    object_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Ids of objects; -: one a line from standard input."
        ),
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option(help="A tag to add. May be given several times.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A tag to take away. May be given several times.")
    ] = None,
    filters: Filters = None,
    as_json: AsJson = False,
) -> None:
    """The command; its help stands above."""
    if add or remove:
        which = run_tag.choose_objects(object_ids or (), filters or ())
        run_tag.tag(load(), which, add or (), remove or (), as_json=as_json)
    else:
        run_tag.list_tags(load(), object_ids or (), filters or (), as_json=as_json)
