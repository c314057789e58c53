"""`objseek eval`: score an index against ground truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

import typer
from typer.core import TyperCommand

from pipeline.cli.console import err, out, print_note, user_errors
from pipeline.cli.demo_options import DemoRunner, DemoWorkers, Scenes
from pipeline.cli.figures_file import open_target, write_figures
from pipeline.cli.lazy_imports import lazy_imports
from pipeline.cli.options import CALIBRATION, CONFIG, INDEX, Strict
from pipeline.cli.output_options import AsJson
from pipeline.cli.shared_options import Load, add_options
from pipeline.cli.tables import print_rows
from pipeline.cli.transfer_output import print_left_out
from schemas.errors import UsageError

if TYPE_CHECKING:
    import schemas.coco

with lazy_imports():
    import pipeline.settings
    from pipeline.cli import (
        eval_compare,
        eval_compare_search,
        eval_forms,
        eval_masks,
        eval_prompts,
        eval_search,
        eval_segmentation,
        eval_segmenters,
        eval_suggest,
        judged_search,
        progress_bars,
    )
    from pipeline.demo import bucket, sprites
    from pipeline.demo import run as demo_run
    from pipeline.evaluation import copies as copy_scoring
    from pipeline.evaluation import scores as scoring
    from pipeline.jobs import ingest
    from pipeline.search import searcher as searchers
    from schemas import coco_reader

_HELP = """Score an index against ground truth: are the objects found, and does search find them?

`eval demo` composes two validation sets of drawings that no training has seen and ingests them
first: in styles of which the models know other drawings (seen), and in styles of which they know
none, nor was anything fitted on them (held out).
With --segmenters, `eval demo` segments the first of these sets with each of several segmenters and
prints what they find: COCO's average precision (AP), the share of objects with a mask of an IoU of
at least 0.5, the mean IoU of these, how many are given the right one of five groups, and how long
an image takes. `boxes` fills the true boxes.
`eval prompts` composes the first of these sets and measures the segmenter's answers to clicks and
boxes: the share of objects that are found, and in brackets where 95% of such shares lie.
`eval segmentation` does it for masks that a text finds, and for a label of every pixel.
`eval masks` measures masks against true ones: AP and AR as COCO defines them, boundary AP, Boundary
IoU, contours, panoptic quality, IoU of classes; --truth is a COCO file of instances or panoptic,
--pred as well, or a list of results, or an index. In brackets is where 95% of the figures lie when
images are drawn anew.
`eval compare` does it for two runs A and B, each a COCO file or an index, draws the same images for
both, and says whether B is better, worse, or within noise. --report writes a page with plots and
pictures of the largest gains and losses, for which --images says where images are. With --queries
two indexes are compared by their answers to the queries of `eval search`.
`eval search` asks the index the queries of a file, each with what is right for it, a JSON object a
line: recall, MRR, nDCG, calibration error, how often an answer is weak. --suggest writes a first
such file from labelled images. See docs/evaluation.md.
With --truth, any index of labelled images is scored; the file is in COCO's instances format.
Annotations that are wrong are left out and listed; with --strict the file is refused instead.

Examples:

    objseek eval demo --scenes 200 --figures scores.json

    objseek eval demo --segmenters all

    objseek eval prompts --scenes 200

    objseek eval segmentation --scenes 200

    objseek eval masks --truth annotations.json --pred found.json --report report.html

    objseek eval compare a.json b.json --truth coco.json --images photos --report report.html

    objseek eval compare index-a index-b --queries queries.jsonl --truth annotations.json

    objseek eval search --suggest queries.jsonl --truth annotations.json --index objseek-index

    objseek eval search --queries queries.jsonl --truth annotations.json --report report.html

    objseek eval --truth annotations.json --index objseek-index
"""
_ROWS = {
    "object_recall_50": "objects found at IoU >= 0.5",
    "object_recall_75": "objects found at IoU >= 0.75",
    "mean_iou": "mean IoU of found objects",
    "label_r1": "label to object, first hit",
    "label_r10": "label to object, first 10",
    "keyword_r1": "keyword to object, first hit",
    "keyword_r10": "keyword to object, first 10",
    "hybrid_label_r1": "label to object with words, first hit",
    "hybrid_label_r10": "label to object with words, first 10",
    "hybrid_keyword_r1": "keyword to object with words, first hit",
    "hybrid_keyword_r10": "keyword to object with words, first 10",
    "present_weak": "texts for present objects judged weak",
    "absent_weak": "texts for absent objects judged weak",
    "unlearnt_texts": "texts for present objects with words not learnt",
    "calibration_error": "calibration error of all hits of labels",
    "first_calibration_error": "calibration error of first hits",
    "similar_r10": "object to object of another style, first 10",
    "box_r1": "tight box to its own object, first hit",
    "box_25_r1": "box wider by 25% at each side, first hit",
    "box_50_r1": "box wider by 50% at each side, first hit",
    "exact_copies": "exact copies of images recognised",
    "near_copies": "smaller copies, encoded again, recognised",
    "mistaken_copies": "images taken for copies of others",
}


Part = Literal["demo", "prompts", "segmentation", "masks", "compare", "search"]
"""What is measured, if it is no index with a --truth."""


class _EvalCommand(TyperCommand):
    """Takes `--json FILE` for `--figures FILE`, as it was once spelt."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _rename_figures(args))


def _rename_figures(args: Sequence[str]) -> list[str]:
    """The arguments as they are spelt now; a line says so where that is another way."""
    renamed = list(args)
    for position, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name != "--json":
            continue
        if not value:
            value = next(iter(args[position + 1 : position + 2]), "")
            if not value or value.startswith("-") or value in get_args(Part):
                continue
        renamed[position] = arg.replace("--json", "--figures", 1)
        print_note(f"note: --json {value} is spelt --figures {value} now")
    return renamed


def register(app: typer.Typer) -> None:
    """Add `eval` to the command line."""
    app.command("eval", cls=_EvalCommand, help=_HELP)(eval_command)


@add_options(INDEX, CALIBRATION, CONFIG)
@user_errors
def eval_command(
    load: Load,
    context: typer.Context,
    what: Annotated[
        Part | None,
        typer.Argument(
            help="demo: a fresh validation set; prompts: clicks and boxes on it; segmentation: "
            "texts, and labels for every pixel; masks: masks of a file or an index; compare: masks "
            "of two; search: the queries of a file."
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Argument(metavar="A", help="With compare: a COCO file, or an index."),
    ] = None,
    second: Annotated[
        str | None,
        typer.Argument(metavar="B", help="With compare: what to compare it with."),
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Ground truth in COCO format.")] = None,
    pred: Annotated[
        str | None,
        typer.Option(metavar="FILE|INDEX", help="The masks to measure: a COCO file, or an index."),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            help="With search and compare: a file of queries with what is right for each."
        ),
    ] = None,
    suggest: Annotated[
        Path | None,
        typer.Option(help="With search: write a first file of queries from labelled images."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="With --suggest: at most this many queries.")
    ] = 200,
    force: Annotated[
        bool, typer.Option("--force", help="With --suggest: write over a file that is there.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=1, max=100, help="With --queries: at most this many hits a query."
        ),
    ] = 10,
    iou: Annotated[
        float,
        typer.Option(
            min=0.05, max=1, help="With --queries: the IoU at which a hit shows an object."
        ),
    ] = 0.5,
    scenes: Scenes = 200,
    seed: Annotated[
        int, typer.Option(help="Another seed composes other scenes, and suggests other queries.")
    ] = 2024,
    workers: DemoWorkers = 2,
    runner: DemoRunner = "local",
    strict: Strict = False,
    segmenters: Annotated[
        str | None,
        typer.Option(
            help="With demo: names with commas between them, or all of which the weights are here."
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the figures to this file, as JSON; replaces one."),
    ] = None,
    as_json: AsJson = False,
    report: Annotated[
        Path | None,
        typer.Option(
            help="With masks, compare and search: write figures, plots and pictures to this file, "
            "as HTML; replaces one."
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|S3-URI", help="With compare --report: where the truth's images are."
        ),
    ] = None,
) -> None:
    """The command; its help stands above."""
    compared = [place for place in (first, second) if place is not None]
    eval_forms.check_form(what, truth, pred)
    eval_forms.check_search(what, queries, suggest)
    eval_forms.check_compared(what, compared, truth, queries)
    eval_forms.check_report(what, report)
    if images is not None and (what != "compare" or report is None or queries is not None):
        raise UsageError("--images goes with `eval compare A B --truth FILE --report FILE`")
    if segmenters is not None and what != "demo":
        raise UsageError("--segmenters goes with `eval demo`")
    if as_json and suggest is not None:
        raise UsageError("--json goes with figures, and --suggest writes queries")
    target = context.with_resource(open_target(figures, as_json=as_json))
    source = None
    if queries is not None:
        source = judged_search.QuerySource(queries, truth, limit, iou, strict)
    if what == "compare" and source is not None:
        places = (compared[0], compared[1])
        return eval_compare_search.measure(places, source, load(), target, report)
    if what == "compare" and truth is not None:
        runs = eval_compare.ComparedRuns(compared[0], compared[1], truth, images)
        return eval_compare.measure(runs, load(), target, report, strict=strict)
    if what == "masks" and truth is not None and pred is not None:
        return eval_masks.measure(truth, pred, load(), target, report, strict=strict)
    if suggest is not None:
        return eval_suggest.suggest(suggest, truth, load(), count, seed, force=force)
    if source is not None:
        return eval_search.measure(source, load(), target, report)
    if what == "prompts":
        return eval_prompts.measure(scenes, seed, load(), target)
    if what == "segmentation":
        return eval_segmentation.measure(scenes, seed, load(), target)
    if segmenters is not None:
        return eval_segmenters.measure(segmenters, scenes, seed, load(), target)
    started = time.monotonic()
    held_out = None
    if truth is not None:
        scored = _score(truth, load(), strict=strict)
    else:
        parts = {"name": runner, "workers": workers, "batch_size": demo_run.CHUNK_IMAGES}
        settings = load(runner=parts)
        scored = _score_demo(scenes, seed, settings, held_out=False)
        held_out = _score_demo(scenes, seed, settings, held_out=True)
    seconds = time.monotonic() - started
    _print_scores(scored, held_out, seconds)
    write_figures(_describe_scores(scored, held_out), seconds, target)


class _Scored(NamedTuple):
    scores: scoring.Scores
    copies: copy_scoring.CopyScores | None
    left_out: Sequence[schemas.coco.BadAnnotation] | None


def _score(
    truth: Path,
    settings: pipeline.settings.Settings,
    *,
    strict: bool = True,
    with_copies: bool = False,
) -> _Scored:
    loaded = coco_reader.load_truth(truth, strict=strict)
    print_left_out(loaded.left_out)
    with searchers.Searcher.open(settings) as searcher:
        scores = scoring.score(loaded, searcher)
        copies = copy_scoring.measure_copies(searcher) if with_copies else None
    return _Scored(scores, copies, loaded.left_out)


def _score_demo(
    scenes: int, seed: int, settings: pipeline.settings.Settings, *, held_out: bool
) -> _Scored:
    """The figures of scenes in styles that nothing was fitted on (`held_out`), or in the others."""
    drawings = sprites.held_out_sprites() if held_out else sprites.bundled_sprites()
    with TemporaryDirectory(prefix="objseek-eval-") as name:
        folder = Path(name)
        progress = progress_bars.show_progress(err())
        styles = "held-out" if held_out else "seen"
        progress.note(f"composing {scenes} scenes in {styles} styles")
        bucket.write_bucket(folder, scenes, seed, drawings)
        index = settings.index.model_copy(update={"location": str(folder / "index")})
        settings = settings.model_copy(update={"index": index})
        ingest.ingest([str(folder / "scenes")], settings, progress)
        scored = _score(folder / bucket.TRUTH_FILE, settings, with_copies=True)
        return scored._replace(left_out=None)


def _list_figures(scored: _Scored) -> dict[str, float | None]:
    copies = {} if scored.copies is None else asdict(scored.copies)
    return {**asdict(scored.scores), **copies}


def _print_scores(scored: _Scored, held_out: _Scored | None, seconds: float) -> None:
    columns = [scored] if held_out is None else [scored, held_out]
    figures = [_list_figures(each) for each in columns]
    rows = [
        (name, *(_show_figure(each[key]) for each in figures))
        for key, name in _ROWS.items()
        if key in figures[0]
    ]
    names = ("score",) if held_out is None else ("seen styles", "held-out styles")
    print_rows(("figure", *names), rows)
    objects = " and ".join(f"{each.scores.objects:,}" for each in columns)
    images = " and ".join(f"{each.scores.images:,}" for each in columns)
    out().print(f"{objects} objects scored in {images} images, {seconds:.0f} s")


def _show_figure(figure: float | None) -> str:
    return "n/a" if figure is None else f"{figure:.3f}"


def _describe_scores(scored: _Scored, held_out: _Scored | None) -> dict[str, object]:
    figures: dict[str, object] = {**_list_figures(scored)}
    if held_out is not None:
        figures["held_out"] = _list_figures(held_out)
    if scored.left_out is not None:
        figures["left_out"] = [asdict(annotation) for annotation in scored.left_out]
    return figures
