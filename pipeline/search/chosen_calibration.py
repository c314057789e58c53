"""Chooses how an index's similarities become probabilities, and what texts rank by."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.index_home import IndexHome
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.settings import Settings
from schemas.search import Condition
from workers.labelling.calibration import Calibration, calibration_of
from workers.labelling.tuned_calibrations import read_calibration
from workers.protocols import VectorIndex

_MOST_PIPELINES = 1000


def choose_calibration(
    index: VectorIndex, embedder: str, settings: Settings, generation: str
) -> Calibration:
    """What `settings` name for the embedder of an index, else what is known of that embedder.

    Raises EmbedderMismatchError for one that was fitted to another embedder, to other weights or
    other views than those of any of its vectors, ModelError where there is none of that name. Where
    it is not known what made vectors (they were imported, say), only the name is compared.
    """
    if settings.embedder.calibration is None:
        return calibration_of(embedder)
    tuned = read_calibration(settings.embedder.calibration, settings.cache_dir)
    tuned.check_embedder(embedder)
    for embedding in list_embeddings(index, embedder, IndexHome.at(settings, generation).pipelines):
        tuned.check_embedding(embedding)
    return tuned.calibration


def list_embeddings(index: VectorIndex, embedder: str, known: KnownPipelines) -> Iterator[str]:
    """What made the vectors of an embedder, each a `Pipeline.embedding`, as far as it is known."""
    own = Condition(field="embedder", op="=", value=embedder)
    embeddings = {
        pipeline.embedding: None
        for count in index.facet("fingerprint", [own], _MOST_PIPELINES)
        if (pipeline := known.look_up(count.value)) is not None
    }
    yield from embeddings
