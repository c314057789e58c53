"""Gathers the pages of the site: those of the repository, and references made from the code."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from docs.site.command_page import write_commands
from docs.site.fields_page import write_manifest, write_payload
from docs.site.http_page import write_http
from docs.site.notebooks import list_notebooks, write_page
from docs.site.python_page import write_python
from docs.site.settings_page import write_settings

ROOT = Path(__file__).parents[2]
REFERENCES: dict[str, Callable[[], str]] = {
    "reference/commands.md": write_commands,
    "reference/settings.md": write_settings,
    "reference/http.md": write_http,
    "reference/python.md": write_python,
    "reference/payload.md": write_payload,
    "reference/manifest.md": write_manifest,
}
_ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "bench/RESULTS.md": "results.md",
}
_PICTURES = (".svg", ".png", ".webp")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def list_pages() -> dict[str, str]:
    """Where each page of the repository is in the site, by its path."""
    own = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    notebooks = {
        f"docs/notebooks/{path.name}": f"{path.stem}.md"
        for path in list_notebooks(ROOT / "docs" / "notebooks")
    }
    return _ELSEWHERE | own | notebooks


def gather_pages(folder: Path) -> None:
    """Write everything that the site is made of into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "reference").mkdir(parents=True)
    for source, place in list_pages().items():
        text = _read_page(ROOT / source, folder)
        (folder / place).write_text(move_links(text, source), encoding="utf-8")
    for path in (ROOT / "docs").iterdir():
        if path.suffix in _PICTURES:
            shutil.copy(path, folder / path.name)
    shutil.copytree(ROOT / "docs" / "site" / "assets", folder / "assets")
    for place, write in REFERENCES.items():
        (folder / place).write_text(write(), encoding="utf-8")


def _read_page(path: Path, folder: Path) -> str:
    """The Markdown of a page; the pictures of a notebook are written to `folder`."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    text, pictures = write_page(path)
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
    return text


def move_links(text: str, source: str) -> str:
    """A page's text with links to where pages are in the site; other files are only named."""
    places = list_pages()

    def move(found: re.Match[str]) -> str:
        mark, label, target, anchor = found[1], found[2], found[3], found[4] or ""
        if ":" in target or not target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in places:
            return f"[{label}]({places[path]}{anchor})"
        if path.endswith(_PICTURES):
            return f"{mark}[{label}]({posixpath.basename(path)})"
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"{source} names {target}, which is not there")
        return label

    return _LINK.sub(move, text)
