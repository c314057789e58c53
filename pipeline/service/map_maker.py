"""Makes the map of a service's objects in a thread, one at a time; gives the one that is kept."""

from __future__ import annotations

import logging
import threading
from http import HTTPStatus

from pipeline.index_home import IndexHome
from pipeline.jobs.map_layout import require_umap
from pipeline.jobs.object_map import MOST_OBJECTS, make_map, map_version
from pipeline.search.kept_map import read_map
from pipeline.service.problems import ProblemError
from pipeline.service.search_queue import SearchQueue
from pipeline.settings import Settings
from schemas.api import MapState
from schemas.errors import ObjseekError
from schemas.object_map import ObjectMap

_log = logging.getLogger(__name__)


class _MapEndedError(Exception):
    """Raised in the thread at its next note, when the service ends."""


class MapMaker:
    """The map of the generation in use. Thread-safe."""

    def __init__(self, settings: Settings, queue: SearchQueue) -> None:
        self._settings, self._queue = settings, queue
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._note, self._error = "", ""
        self._ending = False

    def find(self) -> ObjectMap | None:
        """The map that is kept, None where there is none. Raises what reading it does."""
        return read_map(self._home())

    def state(self) -> MapState:
        """What there is, and how far the one is that is being made."""
        made = self.find()
        known = {} if made is None else self._describe(made)
        if self._is_running():
            return MapState.model_validate({"state": "running", "note": self._note, **known})
        if self._error:
            return MapState.model_validate({"state": "failed", "error": self._error, **known})
        return MapState.model_validate({"state": "none" if made is None else "done", **known})

    def start(self) -> MapState:
        """Begin to make the map, unless it is at work, or there is one of the index as it is now.

        Raises ProblemError where UMAP is not installed.
        """
        try:
            require_umap()
        except ObjseekError as exc:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(exc)) from exc
        now = self.state()
        with self._lock:
            if not (now.is_current or self._is_running() or self._ending):
                self._note, self._error = "listing objects", ""
                self._thread = threading.Thread(target=self._make, name="map")
                self._thread.start()
        return self.state()

    def close(self) -> None:
        """End what is at work, and wait for that."""
        with self._lock:
            self._ending = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _home(self) -> IndexHome:
        return IndexHome.at(self._settings, self._queue.searcher.generation)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _describe(self, made: ObjectMap) -> dict[str, object]:
        searcher = self._queue.searcher
        current = map_version(self._home(), searcher.info, searcher.label_score)
        return {
            "objects": len(made.positions),
            "of_objects": made.objects,
            "made_at": made.made_at,
            "is_current": made.version == current,
        }

    def _make(self) -> None:
        try:
            make_map(self._queue.searcher, self._home(), MOST_OBJECTS, self._take_note)
        except _MapEndedError:
            return
        except ObjseekError as exc:
            self._error = str(exc)
        except Exception:
            _log.exception("the map could not be made")
            self._error = "the map could not be made: see the service's log"

    def _take_note(self, text: str) -> None:
        self._note = text
        if self._ending:
            raise _MapEndedError
