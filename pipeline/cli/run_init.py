"""Sets up an index for so many objects: asks the server what it can do, chooses, and makes it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.index_home import IndexHome, index_options
from pipeline.planning.collection import CollectionPlan, Wanted, plan_collection
from pipeline.planning.profile import PointBytes, read_profile
from pipeline.planning.workload import Workload
from pipeline.settings import Settings
from schemas.errors import IndexUnavailableError
from schemas.options import IndexOptions
from workers.indexes.server.connection import ServerFeatures
from workers.indexes.server.set_up import ask_features, set_up
from workers.models.embedder_dims import find_dim

_SIZES_OF = "h100"


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What the command line says beside settings; `dim` None: as long as the embedder's vectors.

    `filling` None: in bulk mode where there are many objects.
    """

    objects: int
    objects_per_image: float
    nodes: int
    replicas: int | None
    memory_bytes: float | None
    dim: int | None
    filling: bool | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class InitOutcome:
    """What was chosen; `made`: False where it was there already, None where none was to be made.

    `server`: its version, empty where it does not tell, None where it does not answer.
    """

    request: InitRequest
    wanted: Wanted
    plan: CollectionPlan
    server: str | None
    made: bool | None


def set_up_index(settings: Settings, request: InitRequest) -> InitOutcome:
    """Choose, and unless it is a dry run make, the collection that `settings` name.

    Raises UsageError and EmbedderMismatchError where it is there with another layout, UsageError
    for what no layout fits, and what keeps server or embedder from being used.
    """
    dim = request.dim or find_dim(settings.embedder.name)
    features = _find_features(index_options(settings), request)
    workload = Workload(
        images=round(request.objects / request.objects_per_image),
        image_bytes=0,
        megapixels=0,
        objects=request.objects_per_image,
    )
    wanted = Wanted(
        points=round(workload.points),
        dim=dim,
        nodes=request.nodes,
        replicas=request.replicas,
        memory_bytes=request.memory_bytes,
        filling=request.filling,
        has_turbo=True if features is None else features.has_turbo,
    )
    plan = plan_collection(wanted, _point_bytes(settings))
    made = None
    if not request.dry_run:
        made = set_up(IndexHome.current(settings).index, dim, plan.layout)
    return InitOutcome(request, wanted, plan, None if features is None else features.version, made)


def _find_features(options: IndexOptions, request: InitRequest) -> ServerFeatures | None:
    """None where nothing answers, and nothing is to be made there."""
    try:
        return ask_features(options)
    except IndexUnavailableError:
        if not request.dry_run:
            raise
        return None


def _point_bytes(settings: Settings) -> PointBytes:
    """Of payload and thumbnail, as profiles of machines have them."""
    found = read_profile(_SIZES_OF).bytes
    return found if settings.index.thumbnail_px else found.model_copy(update={"thumbnail": 0.0})
