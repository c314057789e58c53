"""An image on its way through a job: listed, decoded, or failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

import numpy as np
import numpy.typing as npt

from schemas.errors import ObjseekError
from schemas.redaction import redact

UInt8Image = npt.NDArray[np.uint8]
"""uint8 (height, width, 3), RGB, upright."""

StoreName = Literal["s3", "file", "http"]
"""Where an image is; those of the web are named, and never read."""

# Of an access point, of one on Outposts, or of Object Lambda; it has a slash in it.
_ACCESS_POINT = re.compile(
    r"arn:[\w-]+:s3(?:-outposts|-object-lambda)?:[\w-]*:\d{12}:"
    r"(?:outpost[/:][^/:]+[/:])?accesspoint[/:][^/:]+(?=/|$)"
)
_WEB_PLACE = re.compile(r"(https?://[^/@\s]+)/(.+)", re.DOTALL)


def split_s3_uri(uri: str) -> tuple[str, str]:
    """The bucket, or the ARN of an access point, and the key or prefix; each may be empty."""
    # Keys are opaque: no URL parser, which would see a query or a fragment in them.
    place = uri.removeprefix("s3://")
    if access_point := _ACCESS_POINT.match(place):
        return access_point[0], place[access_point.end() + 1 :]
    bucket, _, key = place.partition("/")
    return bucket, key


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One listed image.

    `key` is opaque text: an S3 key, or for files an absolute path; never normalised. `bucket` may
    be the ARN of an access point; of an image in the web it is scheme and host. `version` is the S3
    ETag, or time and size for an object without one; empty where an import did not know it. That of
    a file is by content once it has been read; when it is listed, it is a stamp of size, time and
    inode, which then stays as `stamp`: as long as the file has it, it need not be read again. That
    of a video stays the stamp, as all of it would have to be read. `time_s` is the frame of a video
    that is meant, in seconds since its first one; None: the video, or an image.
    """

    store: StoreName
    bucket: str
    key: str
    version: str
    size_bytes: int
    stamp: str = ""
    time_s: float | None = None

    @property
    def uri(self) -> str:
        if self.store == "s3":
            return f"s3://{self.bucket}/{self.key}"
        if self.store == "http":
            return f"{self.bucket}/{self.key}"
        return "file://" + quote(self.key.encode("utf-8", "surrogateescape"))

    @classmethod
    def from_uri(cls, uri: str, version: str, size_bytes: int) -> ImageRef:
        """The image of a uri. Raises ValueError for any other text."""
        if uri.startswith("s3://"):
            bucket, key = split_s3_uri(uri)
            if bucket and key:
                return cls("s3", bucket, key, version, size_bytes)
        elif uri.startswith("file://"):
            path = unquote_to_bytes(uri.removeprefix("file://"))
            return cls("file", "", path.decode("utf-8", "surrogateescape"), version, size_bytes)
        elif web := _WEB_PLACE.fullmatch(uri):
            return cls("http", web[1], web[2], version, size_bytes)
        raise ValueError(
            f"expected s3://bucket/key, file:///path or http(s)://host/path, got {uri!r}"
        )


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """`pixels` is uint8 (height, width, 3) RGB, upright."""

    ref: ImageRef
    pixels: UInt8Image

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(
                f"expected uint8 (height, width, 3), got {self.pixels.dtype} {self.pixels.shape}"
            )

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]


class Stage(StrEnum):
    """A stage of the job."""

    READ = "read"
    SEGMENT = "segment"
    EMBED = "embed"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that failed in a stage.

    `rejected`: the input is bad, and trying again is pointless. `gone`: it is no longer in the
    store. `changed`: the store has another version than the one listed.
    """

    ref: ImageRef
    stage: Stage
    error_class: str
    message: str
    retryable: bool
    rejected: bool = False
    gone: bool = False
    changed: bool = False

    @classmethod
    def from_error(cls, ref: ImageRef, stage: Stage, error: ObjseekError) -> Failure:
        return cls(
            ref=ref,
            stage=stage,
            error_class=type(error).__name__,
            message=redact(str(error)),
            retryable=error.retryable,
            rejected=error.rejects_input,
            gone=error.is_gone,
            changed=error.is_changed,
        )


Decoded = DecodedImage | Failure
"""What reading an image ends in."""
