"""Stores a manifest's parts below a prefix of a bucket, for jobs on several machines."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.manifest.part_storage import ASIDE
from schemas.errors import ObjectGoneError
from schemas.options import StoreOptions
from workers.durable_files import replace_file
from workers.stores.s3_prefix import S3Prefix


class BucketParts:
    """Parts below a prefix of a bucket.

    This process fetches each once, into a temporary folder; `large` ones whenever they are read.
    """

    def __init__(self, location: str, options: StoreOptions, *, large: bool = False) -> None:
        self._objects = S3Prefix(location, options)
        self._options = options
        self._large = large
        self._local = Path(tempfile.mkdtemp(prefix="objseek-manifest-"))
        weakref.finalize(self, shutil.rmtree, self._local, ignore_errors=True)
        self.place = self._objects.uri

    def exists(self) -> bool:
        return bool(self.sizes())

    def sizes(self) -> dict[str, int]:
        sizes = self._objects.sizes("part-")
        for file in self._local.iterdir():
            if file.name not in sizes:  # compacted by another process
                file.unlink()
        return dict(sorted(sizes.items()))

    def open(self, name: str) -> BinaryIO:
        path = self._local / name
        try:
            if self._large:
                return self._fetch(name)
            if not path.exists():
                with replace_file(path) as file:
                    self._objects.download(name, file)
        except ObjectGoneError as exc:
            raise FileNotFoundError(path) from exc
        return path.open("rb")

    def _fetch(self, name: str) -> BinaryIO:
        """A part in a file that is gone when it is closed."""
        with ExitStack() as held:
            file = held.enter_context(tempfile.TemporaryFile(dir=self._local))
            self._objects.download(name, file)
            file.seek(0)
            held.pop_all()
        return file

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        path = self._local / name
        try:
            with path.open("wb") as file:
                yield file
            self._objects.upload(path, name)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if self._large:
            path.unlink()

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._objects.remove([name])
            (self._local / name).unlink(missing_ok=True)

    def set_aside(self) -> None:
        for name in self.sizes():
            self._objects.rename(name, ASIDE + name)

    def below(self, name: str, *, large: bool = False) -> BucketParts:
        return BucketParts(self.place + name, self._options, large=large)

    def read_text(self, name: str) -> str | None:
        try:
            return self._objects.read(name).decode()
        except ObjectGoneError:
            return None

    def write_text(self, name: str, text: str) -> None:
        self._objects.write(name, text.encode())
