"""Turns listed videos into pieces for a runner, and what becomes of these into videos again.

How long a video is shows only when its first piece has been read, so what is to be done next
depends on results: an empty chunk says that they are waited for.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.manifest.kept_pieces import KeptPieces
from pipeline.manifest.track_files import TrackFiles
from pipeline.progress import VideoFrames
from schemas.boxes import ImageBoxes
from schemas.errors import ManifestError
from schemas.ids import ImageRevision, image_id
from schemas.images import Failure, ImageRef
from schemas.masks import CocoRle
from schemas.options import StoreOptions
from schemas.records import EmbeddedImage, Result
from schemas.videos import Shot, TrackedPiece, VideoInfo, VideoPiece
from schemas.work import Worked, WorkItem
from workers.freed_memory import return_freed_memory
from workers.stores.selection import is_video
from workers.videos.build_video import VideoMaker

_log = logging.getLogger(__name__)
_MOST_OPEN = 16
"""Videos at a time: those that are begun are finished first, so that they are soon found."""
_MOST_A_WORKER = 4
"""Where workers are many: of short videos each has but a piece, and none is to go short."""
_MOST_AHEAD = 256
"""Pieces of a video that are asked for at a time: a file may be wrong of its length."""


@dataclass
class _OpenVideo:
    """A video that is worked on. `last`: the piece in which it ends, None: not known yet.

    `is_anew`: pieces that were kept of it could not be read, so that it was begun again.
    """

    ref: ImageRef
    revision: ImageRevision
    info: VideoInfo | None = None
    steps: int | None = None
    asked: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    last: int | None = None
    single: TrackedPiece | None = None
    is_anew: bool = False
    notes: set[str] = field(default_factory=set)
    shots: Sequence[Shot] = ()

    @property
    def is_complete(self) -> bool:
        return self.last is not None and self.done >= set(range(self.last + 1))


class VideoQueue:
    """Hands out the pieces of videos among images, and puts videos together.

    `warn` gets what the user should know of a video that is read otherwise than one would think.
    `maker` is known when the models are; until then no piece of an earlier run can be gone on with.
    """

    def __init__(
        self,
        store: StoreOptions,
        pieces: KeptPieces,
        tracks: TrackFiles,
        warn: Callable[[str], None],
        workers: int = 1,
    ) -> None:
        self._store = store
        self._most_open = max(_MOST_OPEN, _MOST_A_WORKER * workers)
        self._warn = warn
        self._pieces, self._tracks = pieces, tracks
        self._due: deque[WorkItem] = deque()
        self._open: dict[ImageRef, _OpenVideo] = {}
        self._listed: deque[ImageRef] = deque()
        self._frames_done = 0
        self.maker: VideoMaker | None = None

    def items(self, listed: Iterator[list[WorkItem]]) -> Iterator[list[WorkItem]]:
        """Chunks of images as they are listed, and of videos a piece at a time."""
        all_taken = False
        while not (all_taken and not self._listed and not self._open):
            self._begin_listed()
            if self._due:
                yield [self._due.popleft()]
            elif all_taken or self._listed:
                yield []
            if not all_taken and not self._listed:
                items = next(listed, None)
                all_taken = items is None
                images = self._set_videos_aside(items or [])
                if images:
                    yield images

    def take(self, results: Sequence[Worked]) -> list[Result]:
        """Those of the results that are final; pieces lead to more work.

        Raises ManifestError and what `Parts` raise.
        """
        final: list[Result] = []
        for result in results:
            if isinstance(result, TrackedPiece):
                video = self._open.get(result.ref)
                # Of one that is complete only pieces beyond its end are still to come.
                if video is not None and not video.is_complete:
                    self._take_piece(video, result)
            elif result.ref not in self._open:
                # Of a video that has failed in another piece nothing more is said, nor of one that
                # was complete before a piece beyond its end came back.
                if not is_video(result.ref.key, self._store):
                    final.append(result)
            else:
                final.append(self._close(self._open.pop(result.ref), result))
        return final

    def forget(self, results: Sequence[Result]) -> None:
        """Remove what is kept of videos that are written, or can never be read."""
        videos = [result for result in results if is_video(result.ref.key, self._store)]
        ended = [
            result.ref
            for result in videos
            if not isinstance(result, Failure) or result.rejected or result.gone or result.changed
        ]
        self._pieces.remove(ended)
        failures = (each for each in videos if isinstance(each, Failure))
        # Of these the index keeps nothing either.
        vanished = (each.ref for each in failures if each.gone or each.rejected)
        self._tracks.remove(str(image_id(ref)) for ref in vanished)

    @property
    def frames(self) -> VideoFrames:
        """How far the videos are. Those that are not begun are taken to be like those that are."""
        known = [video for video in self._open.values() if video.steps is not None]
        left = sum(self._count_left(video) for video in known)
        unfinished = len(self._open) + len(self._listed)
        usual = left // len(known) if known else 1
        return VideoFrames(self._frames_done, left + usual * (unfinished - len(known)), unfinished)

    def revision_of(self, ref: ImageRef) -> ImageRevision:
        """By what an image or a video is done. The models must be known."""
        if self.maker is None:
            raise AssertionError("what images are done by is asked before the models are known")
        if is_video(ref.key, self._store):
            return self.maker.revision(ref)
        return ImageRevision(ref.version, self.maker.pipeline.for_images().fingerprint)

    def _set_videos_aside(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """The images among these; the videos are begun when there is room for them."""
        images = []
        for item in items:
            if not is_video(item.ref.key, self._store):
                images.append(item)
                continue
            if isinstance(item.known, ImageBoxes):
                self._warn(f"a video was given boxes, which are left aside ({item.ref.uri})")
            self._listed.append(item.ref)
        return images

    def _begin_listed(self) -> None:
        while self._listed and self.maker is not None and len(self._open) < self._most_open:
            self._begin(self._listed.popleft(), self.maker)

    def _begin(self, ref: ImageRef, maker: VideoMaker) -> None:
        revision = maker.revision(ref)
        video = self._open[ref] = _OpenVideo(ref, revision)
        kept = self._pieces.numbers(ref, revision)
        if 0 not in kept:
            self._ask(video, 1)
            return
        try:
            for piece in self._pieces.read(ref, revision, sorted(kept)):
                self._record(video, piece)
        except ManifestError as exc:
            self._begin_anew(video, exc)
        else:
            self._go_on(video)

    def _begin_anew(self, video: _OpenVideo, error: ManifestError) -> None:
        """Have all of a video tracked of which a kept piece cannot be read: it only saves work."""
        if video.is_anew:
            raise error
        _log.warning("%s: the video is begun again", error)
        self._pieces.remove([video.ref])
        fresh = _OpenVideo(video.ref, video.revision, is_anew=True)
        self._open[video.ref] = fresh
        self._ask(fresh, 1)

    def _ask(self, video: _OpenVideo, until: int) -> None:
        """Have the pieces up to number `until` tracked that are not yet."""
        for number in sorted(set(range(until)) - video.asked - video.done):
            piece = VideoPiece(video.ref, number, video.steps)
            self._due.append(WorkItem(video.ref, video=piece))
            video.asked.add(number)

    def _take_piece(self, video: _OpenVideo, piece: TrackedPiece) -> None:
        self._record(video, piece)
        self._frames_done += sum(len(shot.times_s) for shot in piece.shots)
        if piece.piece.number == 0 and piece.is_last:
            video.single = piece  # Most clips are one: it need not be kept to be gone on with.
        else:
            self._pieces.keep(piece, video.revision)
        self._go_on(video)

    def _record(self, video: _OpenVideo, piece: TrackedPiece) -> None:
        number = piece.piece.number
        video.info, video.steps = video.info or piece.info, piece.piece.steps
        video.done.add(number)
        for note in sorted(set(piece.info.notes) - video.notes):
            video.notes.add(note)
            self._warn(f"{note} ({video.ref.uri})")
        if piece.is_last:
            video.last = number if video.last is None else min(video.last, number)

    def _go_on(self, video: _OpenVideo) -> None:
        """Have what is missing of a video tracked, or have it put together and labelled."""
        if video.is_complete:
            self._finish(video)
        elif video.last is not None:
            self._ask(video, video.last + 1)
        else:
            likely = min(self._estimate_pieces(video), len(video.done) + _MOST_AHEAD)
            self._ask(video, max(max(video.done) + 2, likely))

    def _count_left(self, video: _OpenVideo) -> int:
        pieces = self._estimate_pieces(video) if video.last is None else video.last + 1
        return max(0, pieces - len(video.done)) * ((video.steps or 0) + 1)

    def _estimate_pieces(self, video: _OpenVideo) -> int:
        if self.maker is None or video.info is None or video.steps is None:
            return 0
        steps = (video.info.duration_s or 0.0) * self.maker.options.fps
        return math.ceil(steps / video.steps)

    def _finish(self, video: _OpenVideo) -> None:
        from workers.videos.join_pieces import join_pieces

        if self.maker is None or video.info is None or video.last is None:
            raise AssertionError("a video is complete before its first piece has come")
        self._due = deque(item for item in self._due if item.ref != video.ref)
        kept = self._pieces.read(video.ref, video.revision, range(video.last + 1))
        pieces = kept if video.single is None else iter([video.single])
        try:
            video.shots, video.single = join_pieces(pieces, self.maker.options), None
        except ManifestError as exc:
            self._begin_anew(video, exc)
            return
        return_freed_memory()  # What it takes to read the pieces is more than the tracks are.
        built = self.maker.build(video.ref, video.info, video.shots)
        self._due.appendleft(WorkItem(video.ref, video=built))

    def _close(self, video: _OpenVideo, result: Result) -> Result:
        self._due = deque(item for item in self._due if item.ref != video.ref)
        if isinstance(result, EmbeddedImage):
            tracks = [track for shot in video.shots for track in shot.tracks]
            # Objects that show none of the wanted texts have been left out meanwhile.
            by_key = {(track.best.time_s, track.best.mask.rle): track for track in tracks}
            written = [by_key[_key_of(result, place)] for place in range(len(result.objects))]
            self._tracks.write(result, written, str(image_id(video.ref)))
        return result


def _key_of(video: EmbeddedImage, place: int) -> tuple[float, CocoRle]:
    record = video.objects[place]
    if record.span is None:
        raise ManifestError(
            f"expected an object of a video, got one without times ({video.ref.uri})"
        )
    return record.span.key_s, record.mask.rle
