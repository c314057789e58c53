"""Keeps a service on the generation of its index that is in use."""

from __future__ import annotations

from pipeline.index_home import IndexHome, current_generation
from pipeline.search.picture_examples import Uploads
from pipeline.search.searcher import Searcher
from pipeline.service.background_jobs import BackgroundJobs
from pipeline.service.search_queue import SearchQueue
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError
from schemas.options import EmbedderOptions
from workers.indexes.open import open_index
from workers.protocols import VectorIndex


class GenerationFollower:
    """Opens a generation that has come into use, and has the service search it."""

    def __init__(self, settings: Settings, queue: SearchQueue, uploads: Uploads) -> None:
        self._settings, self._queue, self._uploads = settings, queue, uploads

    def follow(self) -> None:
        """Switch if another generation is in use now. The caller must not be writing to either."""
        name = current_generation(self._settings)
        if name != self._queue.searcher.generation:
            self._queue.swap(self._open(name))

    def follow_when_idle(self, jobs: BackgroundJobs | None) -> None:
        """Likewise, unless a background job is at work."""
        if current_generation(self._settings) == self._queue.searcher.generation:
            return
        if jobs is None:
            self.follow()
        else:
            jobs.run_when_idle(self.follow)

    def _open(self, name: str) -> Searcher:
        index = open_index(IndexHome.at(self._settings, name).index, None)
        try:
            searcher = self._build_searcher(index, name)
            searcher.take_uploads(self._uploads)
            # Load the models before anybody waits for them.
            if searcher.info.points:
                searcher.models.texts().embed_texts(["a first text"])
            return searcher
        except BaseException:
            index.close()
            raise

    def _build_searcher(self, index: VectorIndex, name: str) -> Searcher:
        try:
            return Searcher(index, settings=self._settings, generation=name)
        except EmbedderMismatchError:
            # The settings name the embedder of the generation that the service started with, or a
            # calibration of it.
            of_another = {"name", "calibration"}
            values = self._settings.embedder.model_dump(exclude_unset=True, exclude=of_another)
            options = EmbedderOptions.model_validate(values)
            settings = self._settings.model_copy(update={"embedder": options})
            return Searcher(index, settings=settings, generation=name)
