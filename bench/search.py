"""Search at 100,000 and a million objects: latency by stage, recall, filters, memory.

    python -m bench.search --folder /var/tmp/objseek-search

The index and a text encoder of ViT-B-32's size, with weights at random, which take as long as
learned ones, are made in `--folder` when they are not there. The service runs in a process of its
own, and this one asks it over HTTP, one request at a time, then four. The peer is the same engine
made to compare whole vectors (`exact`), in the same run; recall is against what it finds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bench.synthetic import DIM, Cone, build
from pipeline.service.client import Client
from schemas.api import SearchRequest
from schemas.options import IndexOptions
from schemas.points import IndexQuery
from schemas.search import Condition, TextExample
from workers.indexes.open import open_index

_RESULTS = Path(__file__).parent / "results" / "search.json"
_FIRST = 10
_OBJECTS = Condition(field="kind", op="=", value="object")
# One bucket of ten, and one folder of a thousand.
_FILTERS = {
    "10pct": Condition(field="bucket", op="=", value="photos-3"),
    "01pct": Condition(field="uri", op="^=", value="s3://photos-3/2026/123/"),
}
# What people write: two words, none of them asked before.
_WORDS = (
    "red", "blue", "green", "yellow", "black", "white", "brown", "pink", "small", "large", "old",
    "new", "wooden", "metal", "broken", "shiny", "round", "square", "striped", "dirty", "wet",
    "open", "empty", "full", "folded",
)  # fmt: skip
_NOUNS = (
    "apple", "chair", "dog", "bicycle", "lamp", "boat", "mug", "tree", "guitar", "clock", "shoe",
    "car", "cat", "door", "flower", "hat", "horse", "house", "knife", "phone", "plate", "sofa",
    "table", "train", "window", "bottle", "bridge", "camera", "fence", "glove",
)  # fmt: skip
_SPAWN = multiprocessing.get_context("spawn")


def percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99 in milliseconds."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e3
    return round(p50, 2), round(p95, 2), round(p99, 2)


def make_encoder(folder: Path) -> str:
    """A text encoder as large as ViT-B-32's in `folder`; the embedder's name."""
    if not (folder / "open_clip_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng, width = np.random.default_rng(0), 512
        shapes = {
            "token_embedding.weight": (49408, width),
            "positional_embedding": (77, width),
            "text_projection": (width, DIM),
            "ln_final.weight": (width,),
            "ln_final.bias": (width,),
        }
        for layer in range(12):
            block = f"transformer.resblocks.{layer}."
            for norm in ("ln_1", "ln_2"):
                shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
            shapes |= {
                f"{block}attn.in_proj_weight": (3 * width, width),
                f"{block}attn.in_proj_bias": (3 * width,),
                f"{block}attn.out_proj.weight": (width, width),
                f"{block}attn.out_proj.bias": (width,),
                f"{block}mlp.c_fc.weight": (4 * width, width),
                f"{block}mlp.c_fc.bias": (4 * width,),
                f"{block}mlp.c_proj.weight": (width, 4 * width),
                f"{block}mlp.c_proj.bias": (width,),
            }
        tensors = {
            name: (0.02 * rng.standard_normal(shape)).astype(np.float32)
            for name, shape in shapes.items()
        }
        save_file(tensors, folder / "open_clip_model.safetensors")
        text = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
        vision = {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32}
        config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text}
        described = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described))
    return f"local-dir:{folder}"


def of_index(location: str, queries: int) -> dict[str, float]:
    """The index alone: time of its queries, against the exact ones, and recall."""
    vectors, _ = Cone().rows(queries, seed=10**9)
    figures: dict[str, float] = {}
    with closing(open_index(IndexOptions(location=location), None)) as index:
        for name, more in (
            {"": ()} | {f"_{key}": (condition,) for key, condition in _FILTERS.items()}
        ).items():
            spent: list[float] = []
            exactly: list[float] = []
            found: list[float] = []
            for vector in vectors:
                query = IndexQuery(vector, _FIRST, (_OBJECTS, *more))
                hits = _timed(lambda query=query: index.search(query), spent)
                exact = replace(query, exact=True)
                truth = _timed(lambda exact=exact: index.search(exact), exactly)
                wanted = {hit.object_id for hit in truth}
                both = wanted & {hit.object_id for hit in hits}
                found.append(len(both) / max(len(wanted), 1))
            p50, p95, p99 = percentiles(spent)
            figures |= {
                f"query{name}_p50_ms": p50,
                f"query{name}_p95_ms": p95,
                f"query{name}_p99_ms": p99,
                f"exact{name}_p50_ms": percentiles(exactly)[0],
                f"recall10{name}": round(float(np.mean(found)), 4),
            }
    return figures


def _timed(work: Callable[[], object], spent: list[float]) -> list:
    started = time.perf_counter()
    result = work()
    spent.append(time.perf_counter() - started)
    return result


@contextmanager
def service(location: str) -> Iterator[tuple[str, int]]:
    """The search service over an index: its address and process."""
    command = [sys.executable, "-m", "pipeline.cli.main", "serve"]
    command += ["--index", location, "--port", "0"]
    environment = {**os.environ, "OBJSEEK_SERVE__REQUESTS_PER_MINUTE": "1000000"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://\S+", line)
        if address is None:
            raise SystemExit(f"the service did not start: {line}{process.stderr.read()}")
        yield address[0], process.pid
    finally:
        process.terminate()
        process.wait()


def of_service(location: str, requests: int) -> dict[str, float]:
    """The service: stages and whole requests, texts that were asked before, and many at once."""
    rng = np.random.default_rng(3)
    every = [f"{word} {noun}" for word in _WORDS for noun in _NOUNS]
    texts = rng.permutation(every)[: 2 * requests].tolist()
    with service(location) as (url, process), Client(url) as client:
        client.search("to begin with")
        client.search("and once more")
        started_mb = _resident_mb(process)
        figures: dict[str, float] = {}
        for name, hybrid in (("", True), ("_dense", False)):
            new_texts = texts[:requests] if hybrid else texts[requests:]
            whole: list[float] = []
            answers = [
                _timed(
                    lambda text=text, hybrid=hybrid: client.search(
                        SearchRequest(text=text, hybrid=hybrid)
                    ),
                    whole,
                )
                for text in new_texts
            ]
            for stage in ("embed", "index"):
                seconds = [answer.seconds[stage] for answer in answers]
                p50, p95, p99 = percentiles(seconds)
                figures |= {
                    f"{stage}{name}_p50_ms": p50, f"{stage}{name}_p95_ms": p95,
                    f"{stage}{name}_p99_ms": p99,
                }  # fmt: skip
            p50, p95, p99 = percentiles(whole)
            figures |= {
                f"request{name}_p50_ms": p50, f"request{name}_p95_ms": p95,
                f"request{name}_p99_ms": p99,
            }  # fmt: skip
        again: list[float] = []
        for text in texts[:requests]:
            _timed(lambda text=text: client.search(text), again)
        figures["request_repeated_p50_ms"] = percentiles(again)[0]
        for name, condition in _FILTERS.items():
            filtered: list[float] = []
            for text in texts[:requests]:
                query = SearchRequest(text=text, conditions=(condition,))
                _timed(lambda query=query: client.search(query), filtered)
            figures[f"request_{name}_p50_ms"] = percentiles(filtered)[0]
        figures["requests_per_s_4"] = _throughput(url, requests)
        figures["rss_start_mb"], figures["rss_mb"] = started_mb, _resident_mb(process)
    return figures


def _throughput(url: str, requests: int) -> float:
    """Texts that are new, asked by four at a time."""
    with Client(url) as client, ThreadPoolExecutor(4) as pool:
        queries = [
            SearchRequest(positive=(TextExample(text=f"{n} at once"),)) for n in range(requests)
        ]
        started = time.perf_counter()
        list(pool.map(client.search, queries))
        return round(requests / (time.perf_counter() - started), 1)


def _resident_mb(process: int) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=200, help="of the index alone")
    parser.add_argument("--requests", type=int, default=300, help="of each kind to the service")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/objseek-search"))
    args = parser.parse_args()
    embedder = make_encoder(args.folder / "clip")
    results = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    for objects in args.objects:
        folder = args.folder / str(objects)
        location = str(folder / "index")
        started = time.perf_counter()
        build(folder, objects, embedder)
        print(f"{objects:,} objects, made in {time.perf_counter() - started:.0f} s", flush=True)
        # In a process of its own: what it maps is not the service's.
        with _SPAWN.Pool(1) as pool:
            alone = pool.apply(of_index, (location, args.queries))
        figures = alone | of_service(location, args.requests)
        size = f"{objects // 1_000_000}m" if objects >= 1_000_000 else f"{objects // 1000}k"
        results |= {f"{name}_{size}": value for name, value in figures.items()}
        for name, value in figures.items():
            print(f"  {name:<28}{value}")
        ratio = figures["exact_p50_ms"] / figures["query_p50_ms"]
        results[f"exact_ratio_{size}"] = round(ratio, 2)
        print(f"  exact / ours                {ratio:.2f} at a recall of {figures['recall10']}")
        _RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
