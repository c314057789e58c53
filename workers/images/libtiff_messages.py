"""Collects what libtiff has to say of a file, which it would print to stderr otherwise."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from PIL import _imaging

from schemas.errors import one_line

_MAX_MESSAGES = 2  # of one file: what follows the first is mostly what comes of it
_MAX_CHARS = 200
# TIFFErrorHandler: module, format and values; a va_list is passed as a pointer on the platforms
# that Pillow has wheels for.
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_collected = threading.local()


@contextmanager
def collect_messages() -> Iterator[list[str]]:
    """What libtiff reports in this thread meanwhile. It never prints once this has been called.

    libtiff's handlers are global to the process. Where Pillow's library cannot be reached, it goes
    on printing.
    """
    _install_handlers()
    before = getattr(_collected, "messages", None)
    messages: list[str] = []
    _collected.messages = messages
    try:
        yield messages
    finally:
        _collected.messages = before


@cache
def _install_handlers() -> None:
    try:
        # Symbols are looked up in the libraries that this one needs, too.
        library = ctypes.CDLL(_imaging.__file__)
        set_error, set_warning = library.TIFFSetErrorHandler, library.TIFFSetWarningHandler
    except (AttributeError, OSError):
        return
    set_error.restype = set_warning.restype = ctypes.c_void_p
    set_error(_handler)
    set_warning(None)


def _collect_error(module: bytes | None, template: bytes | None, values: Any) -> None:
    messages = getattr(_collected, "messages", None)
    if messages is None or len(messages) >= _MAX_MESSAGES:
        return
    buffer = ctypes.create_string_buffer(_MAX_CHARS)
    ctypes.CDLL(None).vsnprintf(
        buffer, ctypes.c_size_t(_MAX_CHARS), template or b"", ctypes.c_void_p(values)
    )
    text = one_line(buffer.value.decode("utf-8", "replace"))
    name = (module or b"").decode("utf-8", "replace")
    messages.append(f"{name}: {text}" if name else text)


_handler = _Handler(_collect_error)  # kept, as libtiff does not
