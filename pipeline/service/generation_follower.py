"""A service stays with the generation of its index that is in use."""

from __future__ import annotations

from pipeline.index_home import IndexHome, current_generation
from pipeline.search.query_examples import Uploads
from pipeline.search.searcher import Searcher
from pipeline.service.background_jobs import Ingests
from pipeline.service.search_queue import Desk
from pipeline.settings import Settings
from schemas.errors import EmbedderMismatchError
from schemas.options import EmbedderOptions
from workers.indexes.open import open_index
from workers.protocols import VectorIndex


class Following:
    """Opens what has come into use, and has it asked instead of the one before."""

    def __init__(self, settings: Settings, desk: Desk, uploads: Uploads) -> None:
        self._settings, self._desk, self._uploads = settings, desk, uploads

    def follow(self) -> None:
        """Switch if another generation is in use now; whoever calls it writes to none meanwhile."""
        name = current_generation(self._settings)
        if name != self._desk.searcher.generation:
            self._desk.swap(self._opened(name))

    def follow_when_idle(self, ingests: Ingests | None) -> None:
        """The same, unless an ingest is at work."""
        if current_generation(self._settings) == self._desk.searcher.generation:
            return
        if ingests is None:
            self.follow()
        else:
            ingests.when_idle(self.follow)

    def _opened(self, name: str) -> Searcher:
        index = open_index(IndexHome.at(self._settings, name).index, None)
        try:
            searcher = self._searcher_of(index, name)
            searcher.take_uploads(self._uploads)
            # Before anybody waits for it.
            if searcher.info.points:
                searcher.models.texts().embed_texts(["a first text"])
            return searcher
        except BaseException:
            index.close()
            raise

    def _searcher_of(self, index: VectorIndex, name: str) -> Searcher:
        try:
            return Searcher(index, settings=self._settings, generation=name)
        except EmbedderMismatchError:
            # The one that was named at the start was that of another generation.
            given = self._settings.embedder.model_dump(exclude_unset=True, exclude={"name"})
            options = EmbedderOptions.model_validate(given)
            settings = self._settings.model_copy(update={"embedder": options})
            return Searcher(index, settings=settings, generation=name)
