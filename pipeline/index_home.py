"""An index at its place: the generation in use, its points, manifest and known pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from pipeline.environment import prepare_lance
from pipeline.manifest.known_pipelines import KnownPipelines
from pipeline.manifest.manifest import Manifest
from pipeline.manifest.part_storage import FolderParts, Parts
from pipeline.settings import Settings
from schemas.errors import GenerationChangedError, IndexMissingError, UsageError
from schemas.manifest import State
from schemas.named_vectors import NO_NAMED, NamedDims
from schemas.options import IndexOptions, StoreOptions
from workers.indexes.generations import FIRST, Generations
from workers.indexes.location import (
    GENERATIONS_FOLDER,
    MANIFEST_FOLDER,
    has_one_owner,
    index_folder,
    is_bucket_table,
    kind_of,
    lance_place,
    server_address,
)
from workers.indexes.open import generations_of, open_index
from workers.protocols import VectorIndex


@dataclass(frozen=True)
class IndexHome:
    """One generation of an index, which stays the same however long a job takes.

    `location` is what the user calls the index; `index` are the options of this generation, whose
    own location differs from it for every generation but the first; `store` is how a bucket with
    the manifest is reached.
    """

    location: str
    generation: str
    index: IndexOptions
    store: StoreOptions

    @classmethod
    def current(cls, settings: Settings) -> Self:
        """The generation that is in use now.

        A job asks for it once, at its beginning, and stays with it: of two generations it would see
        a mix. Raises IndexUnavailableError where folder or server does not answer.
        """
        return cls.at(settings, current_generation(settings))

    @classmethod
    def at(cls, settings: Settings, generation: str) -> Self:
        """The generation of this name, which need not be there yet."""
        # An alias of a server is the index that it stands for, with that one's manifest.
        options = index_options(settings)
        if kind_of(options.location) == "lance":
            prepare_lance()
        index = options.model_copy(
            update={"location": generations_of(options).location(generation)}
        )
        state = index.state
        if generation != FIRST and state is not None:
            place = f"{state.rstrip('/')}/{GENERATIONS_FOLDER}/{generation}"
            index = index.model_copy(update={"state": place})
        return cls(settings.index.location, generation, index, settings.store)

    @cached_property
    def parts(self) -> Parts:
        """Where the manifest and the known pipelines are kept.

        Raises UsageError for a place that cannot be one.
        """
        parts = _manifest_parts(self.index, self.store)
        is_alias = self.generation == FIRST and self.index.location != self.location
        if is_alias and self.index.state is None and not parts.sizes():
            # What was ingested under an alias once had its manifest under the alias's name.
            earlier = FolderParts(manifest_folder(self.location))
            return earlier if earlier.sizes() else parts
        return parts

    @cached_property
    def manifest(self) -> Manifest:
        """What is recorded of each image."""
        return Manifest(self.parts)

    @cached_property
    def pipelines(self) -> KnownPipelines:
        """The pipelines that have run on this generation."""
        return KnownPipelines(self.parts)

    @property
    def log_folder(self) -> Path:
        """The folder for the logs of jobs, one for all generations."""
        return manifest_folder(self.location) / "logs"

    @property
    def is_shared(self) -> bool:
        """Whether others may write to it while it is open here: a folder has one owner."""
        return not has_one_owner(self.index.location)

    def require_shareable(self) -> None:
        """Raise UsageError where several jobs share the source, and the index has one owner."""
        shard = self.store.chosen_shard
        if shard is not None and shard.count > 1 and not self.is_shared:
            raise UsageError(
                f"expected an index that several jobs may write to for shard {shard}, a collection "
                f"of a Qdrant server or a Lance table, got the folder {self.location!r}, which has "
                "one owner"
            )

    @contextmanager
    def points(
        self, *, create_for: int | None = None, named: NamedDims = NO_NAMED
    ) -> Iterator[VectorIndex]:
        """The index, open during the block; `create_for`: made for vectors of so many numbers.

        And for `named` ones. Raises what `open_index` does.
        """
        create = create_for is not None
        with closing(open_index(self.index, create_for, create=create, named=named)) as index:
            yield index

    def exists(self) -> bool:
        """Whether there is an index, to write to.

        Raises IndexBusyError, and what else keeps it from use.
        """
        try:
            with self.points() as index:
                index.require_writable()
        except IndexMissingError:
            return False
        return True

    def require_usable(self) -> None:
        """Raise IndexBusyError, or what else keeps the index from use, before long work begins."""
        self.exists()

    def require_ingested(self) -> None:
        """Raise IndexMissingError unless something was ingested."""
        if not self.manifest.exists():
            raise IndexMissingError(
                f"expected an index at {self.location!r}, nothing was ingested there"
            )


@dataclass(frozen=True, slots=True)
class GenerationInfo:
    """One generation: `images` that are done in it. `location` is where its index is."""

    name: str
    current: bool
    images: int
    location: str


def current_generation(settings: Settings) -> str:
    """The name of the generation in use."""
    return generations_of(index_options(settings)).current()


def require_current(home: IndexHome, settings: Settings) -> None:
    """Raise GenerationChangedError if another generation than that of `home` is in use by now."""
    if current_generation(settings) != home.generation:
        raise GenerationChangedError(
            f"another generation of {home.location} came into use meanwhile: do it again"
        )


def has_index(home: IndexHome, settings: Settings) -> bool:
    """Whether there is the index of a generation; unlike `IndexHome.exists` nothing is opened."""
    return home.generation in generations_of(index_options(settings)).names()


def list_generations(settings: Settings) -> list[GenerationInfo]:
    """All generations of an index, the first one first."""
    generations = generations_of(index_options(settings))
    in_use = generations.current()
    infos = []
    for name in generations.names():
        home = IndexHome.at(settings, name)
        images = home.manifest.counts()[State.DONE]
        infos.append(GenerationInfo(name, name == in_use, images, home.index.location))
    return infos


def use_generation(settings: Settings, name: str) -> None:
    """Have a generation searched and written to. Raises UsageError if it is not there."""
    generations = generations_of(index_options(settings))
    _check_known(generations, name)
    generations.use(name)


def drop_generation(settings: Settings, name: str) -> None:
    """Remove a generation with its manifest.

    Raises UsageError if it is not there, or in use; IndexBusyError if a process has it open.
    """
    generations = generations_of(index_options(settings))
    _check_known(generations, name)
    if name == generations.current():
        raise UsageError(f"expected a generation that is not in use, {name} is: use another first")
    manifest = IndexHome.at(settings, name).manifest
    generations.drop(name)
    if manifest.exists():
        manifest.drop()


def _check_known(generations: Generations, name: str) -> None:
    names = generations.names()
    if name not in names:
        raise UsageError(
            f"expected one of the generations {', '.join(names) or '(there are none)'}, got {name}"
        )


def open_manifest(index: IndexOptions, store: StoreOptions) -> Manifest:
    """The manifest of an index: where `index.state` says, else beside the index.

    A bucket is reached as `store` says. Raises UsageError for a place that cannot be one.
    """
    return Manifest(_manifest_parts(index, store))


def index_options(settings: Settings) -> IndexOptions:
    """The options of an index; a bucket is reached as that of the images, unless they say how."""
    index, store = settings.index, settings.store
    return index.model_copy(
        update={
            "endpoint_url": index.endpoint_url or store.endpoint_url,
            "profile": index.profile or store.profile,
        }
    )


def manifest_folder(location: str) -> Path:
    """Where the manifest of an index lies on this machine: in its folder, else in the user's data.

    What a bucket has beside it is not here.
    """
    kind = kind_of(location)
    if kind == "folder":
        return index_folder(location) / MANIFEST_FOLDER
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    manifests = Path(data).expanduser() / "objseek" / "manifests"
    if kind == "lance":
        place = lance_place(location)
        if not is_bucket_table(location):
            return Path(place) / MANIFEST_FOLDER
        return manifests / f"lance-{quote(place, safe='')}"
    address = server_address(location)
    parts = urlsplit(address.url)
    server = quote(parts.netloc + parts.path, safe="")
    collection = quote(address.collection, safe="")
    # A collection may be called "..".
    return manifests / server / f"collection-{collection}"


def _manifest_parts(index: IndexOptions, store: StoreOptions) -> Parts:
    state = index.state
    if state is None and is_bucket_table(index.location):
        state = f"{lance_place(index.location)}/{MANIFEST_FOLDER}"
        how = {"endpoint_url": index.endpoint_url, "profile": index.profile}
        store = store.model_copy(update=how)
    if state is None:
        return FolderParts(manifest_folder(index.location))
    if state.startswith("s3://"):
        # boto3 is imported by those who need it alone.
        from pipeline.manifest.bucket_storage import BucketParts

        return BucketParts(state, store)
    if "://" in state:
        raise UsageError(f"expected a folder or s3://bucket/prefix as state, got {state!r}")
    return FolderParts(Path(state).expanduser())
