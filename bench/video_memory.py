"""Whether memory grows with the length of a video: an ingest on Ray of a short one and a long one.

    python -m bench.video_memory --minutes 60

Drawn clips, one after the other and over again, are one file; each is a shot. A coarse grid makes
the models cheap. What is told is the most that the driver, the model actor and the reader held,
each without what it shares.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import av
from rich.console import Console
from rich.table import Table

from bench.bucket import settings_for
from bench.process_memory import Memory
from pipeline.demo.clips import draw_clip, write_clip
from pipeline.jobs.ingest import IngestSummary, ingest

_SEED = 4242
_CLIP_S = 10.0
_CLIPS = 6
_KINDS = ("driver", "actor", "reader")
_MIB = 2**20


def join_clips(clips: Sequence[Path], count: int, path: Path) -> None:
    """Write the packets of `count` clips in turns, as they are, as one video."""
    with av.open(str(path), "w") as joined:
        out, shift = None, 0
        for _, clip in zip(range(count), cycle(clips), strict=False):
            with av.open(str(clip)) as container:
                stream = container.streams.video[0]
                out = out or joined.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = out
                    joined.mux(packet)
                shift += round(_CLIP_S / stream.time_base)


def measure(video: Path, index: Path, points: int) -> tuple[dict[str, int], IngestSummary, float]:
    """The peaks of an ingest in bytes, what it came to, and its seconds."""
    settings = settings_for(
        index, {"workers": 1, "readers": 1}, {"points_per_side": points, "crop_n_layers": 0}
    )
    memory, started = Memory(), time.time()
    with memory.watched():
        summary = ingest([str(video)], settings)
    ended = time.time()
    return {kind: memory.peak(kind, ended) for kind in _KINDS}, summary, ended - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long video")
    parser.add_argument("--points", type=int, default=4, help="of the grid, along a side")
    args = parser.parse_args()
    table = Table("video", "objects", "seconds", *(f"{kind}, MiB" for kind in _KINDS), box=None)
    peaks: list[dict[str, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clips = [work / f"{number}.mp4" for number in range(_CLIPS)]
        for number, clip in enumerate(clips):
            write_clip(draw_clip(_SEED, number, "plain", _CLIP_S), clip)
        for seconds in (_CLIP_S, 60 * args.minutes):
            video = work / f"joined-{seconds:g}.mp4"
            join_clips(clips, round(seconds / _CLIP_S), video)
            held, summary, took_s = measure(video, work / f"index-{seconds:g}", args.points)
            peaks.append(held)
            table.add_row(
                f"{seconds:,.0f} s", f"{summary.counts.objects:,}", f"{took_s:,.0f}",
                *(f"{held[kind] / _MIB:,.0f}" for kind in _KINDS),
            )  # fmt: skip
    short, long = peaks
    # What reads a single piece may be gone before it is seen.
    growth = [f"{long[kind] / short[kind] - 1:+.1%}" if short[kind] else "" for kind in _KINDS]
    table.add_row("growth", "", "", *growth)
    Console().print(table)


if __name__ == "__main__":
    main()
