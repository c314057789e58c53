"""What decides which vectors an image gets."""

from __future__ import annotations

from functools import cached_property

from schemas.ids import fingerprint
from schemas.options import NO_PROPAGATION, CropOptions, DecodeOptions, VideoOptions
from schemas.videos import TRACKER

IMPORTED = "imported"
"""The segmenter of points whose vectors somebody else has made."""


class Pipeline(CropOptions):
    """Both models with their parameters, and how images become crops.

    The names are for people; what counts are the fingerprints. That of a video has its `video`
    options as well.
    """

    segmenter: str
    segmenter_fingerprint: str
    embedder: str
    embedder_fingerprint: str
    decode: DecodeOptions
    video: VideoOptions | None = None

    @classmethod
    def of(
        cls,
        segmenter: tuple[str, str],
        embedder: tuple[str, str],
        decode: DecodeOptions,
        crops: CropOptions,
    ) -> Pipeline:
        """Of a segmenter and an embedder, each by name and fingerprint."""
        return cls(
            segmenter=segmenter[0],
            segmenter_fingerprint=segmenter[1],
            embedder=embedder[0],
            embedder_fingerprint=embedder[1],
            decode=decode,
            **{name: getattr(crops, name) for name in CropOptions.model_fields},
        )

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything but the names."""
        if self.video is not None:
            return video_fingerprint(self.for_images().fingerprint, self.video)
        others = {
            "segmenter": self.segmenter_fingerprint,
            "decode": self.decode.model_dump(mode="json"),
        }
        return fingerprint({**others, **self._embedding})

    def for_videos(self, options: VideoOptions) -> Pipeline:
        """The same for videos that are looked into by these options."""
        return self._with_video(options)

    def for_images(self) -> Pipeline:
        """The same for images, and so for the frames of videos."""
        return self._with_video(None)

    def _with_video(self, options: VideoOptions | None) -> Pipeline:
        # A copy would have the fingerprint of this one, once that has been computed.
        fields = {name: getattr(self, name) for name in Pipeline.model_fields}
        return Pipeline(**{**fields, "video": options})

    @property
    def embedding(self) -> str:
        """16 hex digits over what turns masks into vectors."""
        return fingerprint(self._embedding)

    @property
    def _embedding(self) -> dict[str, object]:
        return {"embedder": self.embedder_fingerprint, **self.crop_recipe}


def video_fingerprint(frames: str, options: VideoOptions) -> str:
    """The fingerprint of videos, of that of the pipeline of their frames."""
    # What came later is left out where it is as it was before: videos of then stay done.
    later = {"propagate"} if options.propagate == NO_PROPAGATION else set()
    video = options.model_dump(mode="json", exclude=later)
    parts = {"frames": frames, "video": video, "tracker": TRACKER}
    return fingerprint(parts)
