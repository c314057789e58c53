"""A newcomer who does what the pages say has a new segmenter, and a new embedder, that work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_pages import LIGHT, DocPage, write_photos
from support.paths import ROOT
from support.waiting import PATIENCE_S

PACKAGES = ("schemas", "workers", "pipeline", "objseek.py", "pyproject.toml")
SUPPORT = ("tests/support", "tests/workers/embedders", "tests/workers/segmenters")
_DRIVER = """
import sys
from support.doc_pages import run_all
print("\\n".join(run_all(sys.argv[1:])))
"""


class Checkout:
    """A copy of the product with what a page adds to it."""

    def __init__(self, folder: Path, page: DocPage) -> None:
        self.folder = folder
        for name in (*PACKAGES, *SUPPORT):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "docs", folder / "docs")
        for path, text in page.files().items():
            assert not (folder / path).exists(), f"{path} is there already"
            (folder / path).write_text(text, encoding="utf-8")
        for patch in page.blocks("diff"):
            self.call(["git", "apply", "--whitespace=error", "-"], patch)
        write_photos(folder)

    def call(self, command: list[str], given: str | None = None) -> str:
        """The output of a command that has to succeed."""
        env = {
            **os.environ, **LIGHT,
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(self.folder / "tests")]),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        result = subprocess.run(
            command, cwd=self.folder, env=env, input=given,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        return result.stdout

    def objseek(self, commands: list[str]) -> str:
        """What commands print, one after the other in one process."""
        return self.call([sys.executable, "-c", _DRIVER, *commands])


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "kind", "contract"),
    [
        ("new-segmenter", "blobs", "1 passed"),
        ("new-embedder", "colours", " passed"),
    ],
)
def test_page(tmp_path: Path, name: str, kind: str, contract: str) -> None:
    page = DocPage(f"{name}.md")
    checkout = Checkout(tmp_path / "checkout", page)
    (command,) = page.commands("python -m pytest")
    chosen = ["-k", kind] if kind == "colours" else []
    told = checkout.call([*command.replace("python", sys.executable, 1).split(), *chosen])
    assert contract in told
    checkout.call(["ruff", "check", *page.files()])
    checkout.call(["ruff", "format", "--check", *page.files()])
    commands = page.commands()
    assert len(commands) >= 3
    output = checkout.objseek(commands)
    assert "0001.jpg" in output
