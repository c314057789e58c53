"""Tells what open_clip has by name, without the seconds that importing it takes."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from schemas.errors import ModelError, UnknownModelError
from workers.models.catalog import LOCAL_PREFIX

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth")
USUAL_WEIGHTS = "open_clip_model.safetensors"
# The package under another name: that its own `__init__` is not run saves importing torch.
_ALIAS = "_objseek_open_clip"
_TORCH_BY_ANOTHER_NAME = "safetensors.torch"


@cache
def list_names() -> tuple[str, ...]:
    """Every `architecture/pretrained` that open_clip lists."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    package = ModuleType(_ALIAS)
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[_ALIAS] = package
    try:
        with _hide(_TORCH_BY_ANOTHER_NAME):
            listed = importlib.import_module(f"{_ALIAS}.pretrained").list_pretrained()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _ALIAS]:
            del sys.modules[name]
    return tuple("/".join(pair) for pair in listed)


@contextmanager
def _hide(name: str) -> Iterator[None]:
    """Until the block ends, importing the module `name` fails, as if it were not installed."""
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


def name_unknown(name: str) -> UnknownModelError:
    """The error for a name that open_clip does not have, with the nearest that it has."""
    names = {listed.casefold(): listed for listed in list_names()}
    near = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
    hint = "did you mean " + " or ".join(repr(names[match]) for match in near) + "?"
    return UnknownModelError(
        f"no embedder is called {name!r}: {hint if near else '`objseek models --all` lists them'}"
    )


def check_name(name: str) -> None:
    """Raise UnknownModelError for an `architecture/pretrained` that open_clip does not have."""
    architecture, _, tag = name.rpartition("/")
    # As open_clip itself reads a tag: in any case, with dashes for underscores.
    if f"{architecture}/{tag.lower().replace('-', '_')}" not in list_names():
        raise name_unknown(name)


def check_folder(name: str) -> Path:
    """The folder of `local-dir:FOLDER`. Raises ModelError where a model's files are missing."""
    folder = Path(name.removeprefix(LOCAL_PREFIX)).expanduser()
    config = folder / CONFIG_FILE
    if not config.is_file():
        raise ModelError(
            f"expected the description of the model at {config}, and there is no such file "
            f"(embedder {name})"
        )
    if not any(path.suffix in WEIGHTS_SUFFIXES for path in folder.iterdir()):
        raise ModelError(
            f"expected the weights beside {config}, such as {USUAL_WEIGHTS}, and there is "
            f"no file with the ending {', '.join(WEIGHTS_SUFFIXES)} (embedder {name})"
        )
    return folder
