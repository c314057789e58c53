"""Opens an index and its generations: in a folder, on a Qdrant server, or as a Lance table."""

from __future__ import annotations

from schemas.named_vectors import NO_NAMED, NamedDims
from schemas.options import IndexOptions
from workers.indexes.generations import Generations
from workers.indexes.location import kind_of
from workers.protocols import VectorIndex


def open_index(
    options: IndexOptions,
    dim: int | None,
    *,
    create: bool = False,
    named: NamedDims = NO_NAMED,
) -> VectorIndex:
    """Open the index at `options.location`; with `create` make it, for vectors of `dim` numbers.

    It has a place for `named` vectors then, too: UsageError where those that are there have other
    lengths, or a server can add none to a collection. With `dim` None the dimension is read from
    the index. Raises IndexMissingError where there is none and `create` is not given,
    EmbedderMismatchError if its dimension is not `dim`, IndexBusyError, IndexUnavailableError, and
    UsageError for a place that cannot be an index.
    """
    if create and dim is None:
        raise ValueError("creating an index needs the dimension of its vectors")
    match kind_of(options.location):
        case "server":
            from workers.indexes.server import opening as server_opening

            return server_opening.build(options, dim, create=create, named=named)
        case "lance":
            from workers.indexes.lance import index as lance_index

            return lance_index.build(options, dim, create=create, named=named)
        case "folder":
            from workers.indexes.edge import opening as edge_opening

            return edge_opening.build(options, dim, create=create, named=named)


def generations_of(options: IndexOptions) -> Generations:
    """The generations of the index at `options.location`."""
    match kind_of(options.location):
        case "server":
            from workers.indexes.server.generations import ServerGenerations

            return ServerGenerations(options)
        case "lance":
            from workers.indexes.lance.generations import LanceGenerations

            return LanceGenerations(options)
        case "folder":
            from workers.indexes.edge.generations import FolderGenerations

            return FolderGenerations(options.location)
