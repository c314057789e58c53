"""Reads the picture of a mask that an option names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas.errors import UsageError, one_line
from schemas.masks import BoolMask

_INSIDE = 127  # of 255: brighter pixels are inside


def read_mask(path: Path) -> BoolMask:
    """A picture of a mask, white inside: bool (height, width). Raises UsageError."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L")) > _INSIDE
    except UnidentifiedImageError as exc:
        raise UsageError(f"expected a picture of a mask, got none in {path}") from exc
    except OSError as exc:
        reason = exc.strerror or exc
        raise UsageError(f"the mask {path} cannot be read: {reason}") from exc
    # Pillow's plugins raise nearly every built-in exception on bytes that are no whole picture.
    except Exception as exc:
        raise UsageError(f"expected a picture of a mask, got {path}: {one_line(exc)}") from exc
