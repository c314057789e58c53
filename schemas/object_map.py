"""A map of objects: where each lies in a plane, near to what looks like it; packed into bytes."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from schemas.errors import DatasetError

MAGIC = b"OBJMAP1\n"
NO_LABEL = 65_535
MOST_LABELS = 65_534
_LENGTH = struct.Struct("<I")
_ID_BYTES = 16
_ALIGNED = 4


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMap:
    """`positions` float32 (n, 2) within -1 and 1; `ids` uint8 (n, 16), the UUIDs of the objects.

    `label_of`, uint16 (n,), is the place of an object's surest label in `labels`, NO_LABEL for one
    that has none. `objects` is how many the index held, of which the map is a sample where it has
    fewer. `version` says of which content of the index it was made.
    """

    positions: npt.NDArray[np.float32]
    ids: npt.NDArray[np.uint8]
    label_of: npt.NDArray[np.uint16]
    labels: tuple[str, ...]
    objects: int
    version: str
    made_at: datetime

    def __post_init__(self) -> None:
        count = len(self.positions)
        shapes = self.positions.shape, self.ids.shape, self.label_of.shape
        if shapes != ((count, 2), (count, _ID_BYTES), (count,)):
            raise ValueError(f"expected (n, 2), (n, 16) and (n,), got shapes {shapes}")


def pack_map(made: ObjectMap) -> bytes:
    """`MAGIC`, the length of a header in 4 bytes, the header, then three arrays, little-endian.

    The header is JSON, padded with spaces to a multiple of four bytes: `count`, `labels`,
    `objects`, `version`, `made_at`. The arrays are positions (x and y of the first, and so on),
    ids and `label_of`.
    """
    header = json.dumps(
        {
            "count": len(made.positions),
            "labels": made.labels,
            "objects": made.objects,
            "version": made.version,
            "made_at": made.made_at.isoformat(),
        }
    ).encode()
    header += b" " * (-len(header) % _ALIGNED)
    arrays = (
        made.positions.astype("<f4").tobytes(),
        made.ids.tobytes(),
        made.label_of.astype("<u2").tobytes(),
    )
    return b"".join((MAGIC, _LENGTH.pack(len(header)), header, *arrays))


def unpack_map(data: bytes) -> ObjectMap:
    """The map of such bytes. Raises DatasetError for any others."""
    start = len(MAGIC) + _LENGTH.size
    try:
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError("it does not begin as one")
        (length,) = _LENGTH.unpack_from(data, len(MAGIC))
        header = json.loads(data[start : start + length])
        count, at = int(header["count"]), start + length
        positions = np.frombuffer(data, "<f4", 2 * count, at).reshape(count, 2)
        at += positions.nbytes
        ids = np.frombuffer(data, np.uint8, _ID_BYTES * count, at).reshape(count, _ID_BYTES)
        label_of = np.frombuffer(data, "<u2", count, at + ids.nbytes)
        return ObjectMap(
            positions.astype(np.float32),
            ids,
            label_of.astype(np.uint16),
            tuple(map(str, header["labels"])),
            int(header["objects"]),
            str(header["version"]),
            datetime.fromisoformat(header["made_at"]),
        )
    except (ValueError, KeyError, TypeError, struct.error) as exc:
        raise DatasetError(
            f"expected a map of objects, got {len(data)} other bytes: {exc}"
        ) from exc
