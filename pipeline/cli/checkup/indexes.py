"""Looks at whether an index can be reached, what it holds, and what serves it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checkup.check import Check, failed, passed, warned
from pipeline.index_home import IndexHome, index_options
from pipeline.messages import quantify
from pipeline.service.delegation import find_service
from pipeline.settings import Settings
from schemas.errors import (
    IndexBusyError,
    IndexMissingError,
    IndexUnavailableError,
    ObjseekError,
)
from workers.indexes.location import kind_of

_KINDS = {"folder": "a folder", "server": "a Qdrant server", "lance": "a Lance table"}
_ANSWER = "start the server, or compare --index with its address and index.api_key with its key"


def check_index(settings: Settings) -> Iterator[Check]:
    """The server if there is one, the index, and the record of its images."""
    location = settings.index.location
    try:
        if kind_of(location) == "server":
            yield _check_server(settings)
        home = IndexHome.current(settings)
        yield _check_points(home)
    except IndexUnavailableError as exc:
        yield failed("index", str(exc), _ANSWER)
        return
    except ObjseekError as exc:
        yield failed("index", str(exc), "--index names where it is; `objseek ingest` makes it")
        return
    yield _check_record(home)


def _check_server(settings: Settings) -> Check:
    # It takes a second to import what talks to a server.
    from workers.indexes.server.set_up import ask_features

    features = ask_features(index_options(settings))
    version = features.version or "of a version that it does not tell"
    if features.has_prefixes:
        return passed("server", f"Qdrant {version}")
    advice = "1.19 or newer finds beginnings (key^=) by itself"
    return warned("server", f"Qdrant {version}", advice)


def _check_points(home: IndexHome) -> Check:
    place = f"{home.location}, {_KINDS[kind_of(home.location)]}"
    try:
        with home.points() as index:
            info = index.info()
            index.require_writable()
    except IndexMissingError:
        return warned("index", f"{place}: nothing there yet", "`objseek ingest` makes it")
    except IndexBusyError as exc:
        service = find_service(home.location)
        if service is None:
            return warned("index", str(exc), "wait for the job that has it open")
        service.close()
        return passed("index", f"{place}, open in the running service")
    held = f"{quantify(info.points, 'point')} of {info.dim} numbers"
    return passed("index", f"{place}: {held}, {quantify(info.images, 'image')}")


def _check_record(home: IndexHome) -> Check:
    try:
        counts = home.manifest.counts()
    except ObjseekError as exc:
        return failed("record", str(exc), "--state names where the record of images is")
    shown = ", ".join(f"{count:,} {state.value}" for state, count in counts.items() if count)
    return passed("record", f"{shown or 'no images'} in {home.parts.place}")
