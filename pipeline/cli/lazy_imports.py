"""Imports modules that load when they are first used, so that `--help` does not wait for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextmanager
def lazy_imports() -> Iterator[None]:
    """Within the block, `from package import module` loads the module at its first use.

    A command's file imports at its top what does its work. With pyarrow, numpy and settings that
    takes 1 to 2 s, while its help needs nothing but its options and takes half a second. Import
    modules here, not names from them: `from package.module import name` loads the module at once.
    """
    finder = _LazyFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _LazyFinder(MetaPathFinder):
    """Finds the modules of packages as Python does, and has them loaded at their first use."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        # Packages load at once: importing a module of theirs looks into them.
        if spec.submodule_search_locations is None:
            spec.loader = _LazyLoader(spec.loader)
        return spec


class _LazyLoader(Loader):
    """Makes a module that has nothing yet.

    Unlike that of importlib.util, it stays so when a second file imports it lazily.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LazyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__loader__"] = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader


class _LazyModule(ModuleType):
    """A module that loads when it is asked for a name that it lacks."""

    def __getattr__(self, name: str) -> Any:
        # The import system asks for these, before and after it has made the module.
        if name.startswith("__"):
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__dict__["__loader__"].exec_module(self)
        return getattr(self, name)
