"""An index in a bucket that takes its time: requests and milliseconds of each kind of query.

    python -m bench.object_storage --endpoint http://127.0.0.1:7480

Needs an S3 server and its keys in the environment. A proxy before it adds `--latency-ms` to each
request and counts them. The peer is Qdrant Edge with the same points on the local disk, in the same
run. A first query is of a fresh process, with the index open: the median of several. Recall is
against brute force, of queries that no setting was chosen by; rankings by words are held against
numpy. Server, proxy and client share the machine's cores: ratios and counts say more than
milliseconds.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.object_storage import filling, text_recall
from bench.object_storage.proxy import running_proxy
from bench.object_storage.questions import FILTERS, FIRST, QUESTIONS, SPARSE, Answer, Queries
from bench.object_storage.timing import First, Others, Place, time_question, time_replacing
from bench.object_storage.truth import Truth, equal_share, find_truth, recall
from bench.synthetic import build
from pipeline.environment import prepare_lance
from schemas.options import IndexOptions

_SPAWN = multiprocessing.get_context("spawn")
_console = Console(width=150)


def _in_a_fresh_process(work: Callable[..., Any], *args: Any) -> Any:
    with _SPAWN.Pool(1) as pool:
        return pool.apply(work, args)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=30.0)
    parser.add_argument("--endpoint", default=os.environ.get("S3_ENDPOINT_URL"))
    parser.add_argument("--bucket", default="objseek-bench")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/objseek-object-storage"))
    parser.add_argument("--queries", type=int, default=31, help="of a kind; one of them is first")
    parser.add_argument("--processes", type=int, default=5, help="of which the first is timed")
    parser.add_argument("--seed", type=int, default=1, help="of the queries")
    parser.add_argument("--only", action="append", choices=[*QUESTIONS], help="these questions")
    parser.add_argument("--scenes", type=int, default=1500, help="for texts; 0: none")
    parser.add_argument("--sparse", action="store_true", help="objects have sparse vectors, too")
    parser.add_argument("--without-edge", action="store_true", help="do not measure the peer")
    args = parser.parse_args()
    if not args.endpoint:
        parser.error("expected --endpoint or S3_ENDPOINT_URL, got neither")
    if args.only is None:
        args.only = [name for name in QUESTIONS if args.sparse or name != SPARSE]
    elif SPARSE in args.only and not args.sparse:
        parser.error(f"expected --sparse beside --only {SPARSE}, as other points have none")
    return args


def _fill_edge(folder: Path, objects: int, sparse: bool) -> Place:
    """The same points in Qdrant Edge, made unless they are there whole."""
    process = _SPAWN.Process(
        target=build, args=(folder, objects, filling.EMBEDDER), kwargs={"sparse": sparse}
    )
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("Qdrant Edge was not filled")
    return Place(IndexOptions(location=str(folder / "index")))


def _fill(options: IndexOptions, objects: int, sparse: bool) -> None:
    """Write the table, unless it is there whole, and make its indexes."""
    rows = objects // 10 * 11
    there = _in_a_fresh_process(filling.count_rows, options)
    if there not in (0, rows):
        raise SystemExit(f"expected no rows or {rows:,} at {options.location}, got {there:,}")
    if not there:
        started = time.perf_counter()
        _in_a_fresh_process(partial(filling.fill, sparse=sparse), options, objects)
        _console.print(f"{rows:,} points written in {time.perf_counter() - started:.0f} s")
    made = _in_a_fresh_process(filling.optimize, options)
    stored = filling.stored_mb(options)
    _console.print(
        f"indexes {'looked at' if there else 'made'} in {made.seconds:.0f} s, at most "
        f"{made.peak_mb:,.0f} MiB of memory; {stored:,.0f} MB stored"
    )


def _ask(
    name: str, lance: Place, edge: Place | None, queries: Queries, processes: int
) -> tuple[list[First], Others, Others | None]:
    count = len(queries.texts)
    first, others = _in_a_fresh_process(time_question, lance, name, queries, count)
    firsts = [first] + [
        _in_a_fresh_process(time_question, lance, name, queries, 1)[0] for _ in range(processes - 1)
    ]
    if edge is None:
        return firsts, others, None
    return firsts, others, _in_a_fresh_process(time_question, edge, name, queries, count)[1]


def _row(
    name: str, firsts: list[First], ours: Others, theirs: Others | None, quality: str
) -> list[str]:
    cold = statistics.median(first.seconds for first in firsts) * 1e3
    requests = statistics.median(first.traffic.requests for first in firsts)
    rounds = statistics.median(first.traffic.rounds for first in firsts)
    received = statistics.median(first.traffic.received_mb for first in firsts)
    edge_ms = theirs.percentile_ms(50) if theirs else math.nan
    return [
        name,
        f"{cold:.0f} / {requests:.0f} / {rounds:.0f} / {received:.1f}",
        f"{ours.percentile_ms(50):.0f} / {ours.percentile_ms(95):.0f}",
        f"{ours.requests:.0f} / {ours.received_mb:.1f}",
        f"{ours.cpu_s * 1e3:.0f}",
        f"{ours.peak_mb:.0f}",
        f"{edge_ms:.1f}",
        f"{ours.percentile_ms(50) / edge_ms:.0f}",
        quality,
    ]


def _quality(name: str, truth: Truth, answers: list[Answer]) -> str:
    """Recall, or the share of rankings that are exact; with the first query."""
    if name in FILTERS:
        return f"recall {recall(answers, truth.nearest[name]):.4f}"
    scores = {"text (both)": truth.by_text, SPARSE: truth.by_sparse}.get(name)
    if scores is not None:
        found = [[score for _, score in answer[:FIRST]] for answer in answers]
        return f"equal {equal_share(found, scores):.3f}"
    exact = {"2 words": truth.by_words, "12 words": truth.by_more_words}.get(name)
    if exact is None:
        return ""
    found = [
        [dict(known).get(identity, -1.0) for identity, _ in answer]
        for answer, known in zip(answers, exact, strict=True)
    ]
    return f"equal {equal_share(found, [[s for _, s in known[:FIRST]] for known in exact]):.3f}"


def _print_questions(
    args: argparse.Namespace, lance: Place, edge: Place | None, truth: Truth, queries: Queries
) -> None:
    columns = (
        "question", "first: ms / requests / rounds / MB", "others: p50 / p95 ms", "requests / MB",
        "CPU ms", "MiB", "Edge p50 ms", "x", "",
    )  # fmt: skip
    table = Table(*columns, box=None)
    for name in args.only:
        firsts, ours, theirs = _ask(name, lance, edge, queries, args.processes)
        row = _row(name, firsts, ours, theirs, _quality(name, truth, ours.answers))
        table.add_row(*row)
        _console.print(" | ".join(row), style="dim")
    _console.print(table)


def _print_replacing(place: Place, seed: int) -> None:
    replacing, finding = _in_a_fresh_process(time_replacing, place, seed)
    _console.print(
        f"an image replaced in {statistics.median(replacing) * 1e3:.0f} ms (the first "
        f"{replacing[0] * 1e3:.0f}), found by the next query in "
        f"{statistics.median(finding) * 1e3:.0f} ms"
    )


def main() -> None:
    args = _parse()
    prepare_lance()
    objects = filling.objects_of(args.points)
    kept = f"{args.points}-sparse" if args.sparse else f"{args.points}"
    place = f"lance+s3://{args.bucket}/points-{kept}"
    direct = IndexOptions(location=place, endpoint_url=args.endpoint)
    queries = Queries.draw(args.queries, args.seed, objects)
    with running_proxy(args.endpoint) as proxy:
        through = direct.model_copy(update={"endpoint_url": proxy.url})
        _fill(through, objects, args.sparse)
        edge = None if args.without_edge else _fill_edge(args.folder / kept, objects, args.sparse)
        truth = _in_a_fresh_process(find_truth, direct, queries)
        proxy.set_latency(args.latency_ms)
        _print_questions(args, Place(through, proxy), edge, truth, queries)
        _print_replacing(Place(through, proxy), args.seed)
    if args.scenes:
        count, share = _in_a_fresh_process(text_recall.measure, args.folder, args.scenes, args.seed)
        _console.print(f"texts among {count:,} points of drawn scenes: recall {share:.4f}")


if __name__ == "__main__":
    main()
