"""Whether memory grows with the length of a video: an ingest on Ray of a short one and a long one.

    python -m bench.video_memory --minutes 60

Drawn clips, one after the other and over again, are one file; each is a shot. A coarse grid makes
the models cheap. What is told is the most that the driver, the model actor and the reader held,
each without what it shares. The short video is a single piece, which shows little of a reader: what
it holds for a moment is seen by chance. So the long one is told by fifths of its time, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.bucket import settings_for
from bench.process_memory import Memory
from pipeline.demo.clips import draw_clip, write_clip
from pipeline.jobs.ingest import ingest

_SEED = 4242
_CLIP_S = 10.0
_CLIPS = 6
_FIFTHS = 5
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


@dataclass(frozen=True)
class Run:
    """An ingest: how many objects it found, when it was, and what its processes held."""

    objects: int
    memory: Memory
    started_s: float
    ended_s: float

    def list_peaks(self, parts: int = 1) -> list[dict[str, int]]:
        """The most bytes of each kind of process in equal parts of the run's time."""
        times = np.linspace(self.started_s, self.ended_s, parts + 1)
        return [
            {kind: self.memory.peak(kind, end, begin) for kind in _KINDS}
            for begin, end in pairwise(times)
        ]


def run_ingest(video: Path, index: Path, points: int) -> Run:
    """Ingest a video on Ray with one worker and one reader."""
    settings = settings_for(
        index, {"workers": 1, "readers": 1}, {"points_per_side": points, "crop_n_layers": 0}
    )
    memory, started_s = Memory(), time.time()
    with memory.watched():
        summary = ingest([str(video)], settings)
    return Run(summary.counts.objects, memory, started_s, time.time())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long video")
    parser.add_argument("--points", type=int, default=4, help="of the grid, along a side")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clips = [work / f"{number}.mp4" for number in range(_CLIPS)]
        for number, clip in enumerate(clips):
            write_clip(draw_clip(_SEED, number, "plain", _CLIP_S), clip)
        runs: dict[float, Run] = {}
        for seconds in (_CLIP_S, 60 * args.minutes):
            video = work / f"joined-{seconds:g}.mp4"
            join_clips(clips, round(seconds / _CLIP_S), video)
            runs[seconds] = run_ingest(video, work / f"index-{seconds:g}", args.points)
    Console().print(tabulate(runs))


def tabulate(runs: Mapping[float, Run]) -> Table:
    """The runs by their videos' seconds, the last by parts of its time, and what grew in it."""
    table = Table("video", "objects", "seconds", *(f"{kind}, MiB" for kind in _KINDS), box=None)
    for seconds, run in runs.items():
        took_s = run.ended_s - run.started_s
        told = f"{run.objects:,}", f"{took_s:,.0f}", *_tell(*run.list_peaks())
        table.add_row(f"{seconds:,.0f} s", *told)
    first, last = runs.values()
    (short,), (long,), fifths = first.list_peaks(), last.list_peaks(), last.list_peaks(_FIFTHS)
    for number, peaks in enumerate(fifths, 1):
        table.add_row(f"fifth {number} of it", "", "", *_tell(peaks))
    for name, early, late in (("10 s", short, long), ("fifth 1", fifths[0], fifths[-1])):
        growth = [f"{late[kind] / early[kind] - 1:+.1%}" if early[kind] else "" for kind in _KINDS]
        table.add_row(f"growth since {name}", "", "", *growth)
    return table


def _tell(peaks: Mapping[str, int]) -> list[str]:
    return [f"{peaks[kind] / _MIB:,.0f}" for kind in _KINDS]


if __name__ == "__main__":
    main()
