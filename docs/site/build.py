"""Builds the site of the documentation in build/site; any warning is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.site.pages import ROOT, gather_pages

SITE = ROOT / "build" / "site"
_WORKPLACE = ROOT / "build" / "pages"
_ASSET = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*?\ssrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect))[^>]*"""
    r"""\shref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|(?:@import\s*|\burl\(\s*)["']?(?:https?:)?//[^"')\s]+""",
    re.IGNORECASE,
)


def build_site() -> None:
    """Gather the pages and have them made into `SITE`. Raises SystemExit for what is wrong."""
    gather_pages(_WORKPLACE / "docs")
    shutil.copy(ROOT / "docs" / "site" / "zensical.toml", _WORKPLACE)
    shutil.rmtree(SITE, ignore_errors=True)
    zensical = str(Path(sys.executable).with_name("zensical"))
    command = [zensical, "build", "--clean", "--strict"]
    result = subprocess.run(
        command, cwd=_WORKPLACE, env={**os.environ, "NO_COLOR": "1"}, check=False
    )
    if result.returncode:
        sys.exit(result.returncode)
    shutil.move(_WORKPLACE / "site", SITE)
    if foreign := list(find_foreign(SITE)):
        sys.exit("expected nothing from other hosts, got\n" + "\n".join(foreign))
    pages = sum(1 for _ in SITE.rglob("*.html"))
    print(f"{pages} pages in {SITE.relative_to(ROOT)}")


def find_foreign(site: Path) -> Iterator[str]:
    """What pages and styles would load from other hosts."""
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css"):
            for found in _ASSET.finditer(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(site)}: {found[0]}"


if __name__ == "__main__":
    build_site()
