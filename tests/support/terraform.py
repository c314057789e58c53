"""Reads a Terraform module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions

_OPTIONS = SerializationOptions(strip_string_quotes=True, explicit_blocks=False)


class Module:
    """The blocks of all files of a folder. Raises hcl2's errors for what is no HCL."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.name: hcl2.loads(path.read_text(), serialization_options=_OPTIONS)
            for path in sorted(folder.glob("*.tf"))
        }

    def blocks(self, kind: str) -> Iterator[dict[str, Any]]:
        """All blocks of a kind: `resource`, `data`, `variable`, `output`, `locals`."""
        for content in self._files.values():
            yield from content.get(kind, [])

    def named(self, kind: str) -> dict[tuple[str, ...], dict[str, Any]]:
        """Blocks by their labels, such as ("aws_iam_role", "account")."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for block in self.blocks(kind):
            labels: tuple[str, ...] = ()
            body = block
            for _ in range(2 if kind in ("resource", "data") else 1):
                ((label, body),) = body.items()
                labels += (label,)
            if labels in found:
                raise ValueError(f"{kind} {'.'.join(labels)} is there twice")
            found[labels] = body
        return found
