"""Prints what an import of vectors will do, and what came of it."""

from __future__ import annotations

from pipeline.cli.console import out, print_line
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.tables import print_rows
from pipeline.messages import quantify, sanitize

with lazy_imports():
    from pipeline.transfer.vectors import import_vectors, plan

_MOST_SHOWN = 100


def print_plan(planned: plan.ImportPlan) -> None:
    """Print what each column is taken for, before anything is written."""
    mapping = planned.mapping
    rows = [(each.field, " + ".join(each.columns), each.why) for each in mapping.choices]
    kinds = planned.own_kinds()
    for column, name in mapping.own.items():
        field = f"own.{name}"
        rows.append((field, column, f"a {kinds[field]} to filter by"))
    rows += [("left out", column, why) for column, why in mapping.left_out.items()]
    named = "".join(f", {name} of {dim}" for name, dim in planned.named_dims.items())
    print_line(
        out(),
        f"{sanitize(planned.source.name)}: {quantify(planned.source.rows, 'row')}, vectors of "
        f"{planned.dim} numbers{named}",
    )
    print_rows(("field", "column", "why"), rows)
    print_line(out(), f"embedder: {sanitize(_describe_embedder(planned))}")


def _describe_embedder(planned: plan.ImportPlan) -> str:
    if planned.is_known:
        return f"{planned.embedder}, which texts are searched with"
    if planned.embedder == plan.OWN_EMBEDDER:
        return "not named (--embedder): search takes vectors and objects, no texts"
    return f"{planned.embedder}, which objseek has not: search takes vectors and objects, no texts"


def print_imported(result: import_vectors.VectorImport, location: str) -> None:
    """Print what an import of vectors came to, with the rows that were left out."""
    for note in result.notes:
        print_line(out(), f"note: {sanitize(note)}")
    shown = result.refused[:_MOST_SHOWN]
    if shown:
        cells = [(each.place.file, f"{each.place.row:,}", sanitize(each.reason)) for each in shown]
        print_rows(("file", "row", "why it is left out"), cells)
    if result.refused_count > len(shown):
        print_line(out(), f"and {result.refused_count - len(shown):,} more")
    counts = (
        ("rows", result.rows),
        ("left out", result.refused_count),
        ("images written", result.written),
        ("images unchanged", result.unchanged),
        ("points of objects", result.objects),
        ("points of whole images", result.wholes),
    )
    width = max(len(name) for name, _ in counts)
    for name, value in counts:
        print_line(out(), f"{name:<{width}}  {value:,}")
    print_line(out(), f"{'index':<{width}}  {location}")
