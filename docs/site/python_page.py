"""Writes the reference of `import objseek`: signatures, and what docstrings say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import objseek
from docs.site.markdown import write_docstring

_INTRODUCTION = """# Python

`import objseek` is the whole face.
"""
_MODULES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Za-z_])")


def write_python() -> str:
    """The page: what `objseek` offers, functions first, then classes with their methods."""
    offered = [(name, getattr(objseek, name)) for name in objseek.__all__]
    functions = [each for each in offered if inspect.isfunction(each[1])]
    classes = [each for each in offered if inspect.isclass(each[1])]
    parts = [_INTRODUCTION, write_docstring(objseek.__doc__) + "\n"]
    parts += [line for name, each in functions for line in _write(f"objseek.{name}", each, "##")]
    parts += [line for name, each in classes for line in _write_class(name, each)]
    return "\n".join(parts)


def _write_class(name: str, kind: type) -> Iterator[str]:
    yield f"## {name}\n"
    yield write_docstring(kind.__doc__) + "\n"
    if issubclass(kind, Exception):
        return
    for method in _list_public(kind):
        yield from _write(method, inspect.getattr_static(kind, method), "###", name)


def _list_public(kind: type) -> list[str]:
    """Names of its own and inherited methods and properties that say what they do."""
    own = [each for each in reversed(kind.__mro__) if each.__module__.startswith("pipeline.")]
    names = dict.fromkeys(name for each in own for name in vars(each) if not name.startswith("_"))
    return [
        name
        for name in names
        if not isinstance(vars(kind).get(name), classmethod)
        and (
            isinstance(inspect.getattr_static(kind, name), property)
            or inspect.isfunction(getattr(kind, name, None))
        )
    ]


def _write(name: str, member: Any, level: str, owner: str = "") -> Iterator[str]:
    title = f"{owner}.{name}" if owner else name
    if isinstance(member, property):
        yield f"{level} {title}\n"
        returns = inspect.signature(member.fget).return_annotation  # type: ignore[arg-type]
        yield f"```python\n{title} -> {_shorten(returns)}\n```\n"
    else:
        yield f"{level} {title}()\n"
        yield f"```python\n{_write_signature(title, member)}\n```\n"
    yield write_docstring(member.__doc__) + "\n"


def _write_signature(title: str, function: Any) -> str:
    """A call with a parameter a line, where there are several."""
    signature = inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    shown: list[str] = []
    for number, each in enumerate(parameters):
        begins = each.kind is each.KEYWORD_ONLY
        before = number and parameters[number - 1].kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        shown += ["*"] if begins and not before else []
        shown.append(_shorten(each))
    inner = ", ".join(shown) if len(shown) < 3 else "\n    " + ",\n    ".join(shown) + ",\n"
    returns = signature.return_annotation
    return f"{title}({inner}) -> {_shorten(returns)}"


def _shorten(annotation: object) -> str:
    """Annotations are texts; the modules in which types are named say little."""
    text = annotation if isinstance(annotation, str) else str(annotation)
    return _MODULES.sub("", text.replace("'", ""))
