"""The site of the documentation: its references say what the code has, its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs.site.build import find_foreign
from docs.site.command_page import write_commands
from docs.site.fields_page import write_manifest, write_payload
from docs.site.http_page import write_http
from docs.site.markdown import write_docstring, write_table
from docs.site.pages import REFERENCES, ROOT, list_pages, move_links
from docs.site.python_page import write_python
from docs.site.settings_page import write_settings
from pipeline.cli.main import COMMANDS
from schemas.manifest import MANIFEST_SCHEMA
from schemas.payload import PointPayload


def row(page: str, name: str) -> list[str]:
    (line,) = re.findall(rf"^\| `{re.escape(name)}` \|.*$", page, re.MULTILINE)
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_settings_have_values_defaults_and_variables() -> None:
    page = write_settings()
    assert row(page, "runner.batch_size") == [
        "`runner.batch_size`", "whole number, >= 1, <= 256", "`8`", "`OBJSEEK_RUNNER__BATCH_SIZE`"
    ]  # fmt: skip
    assert row(page, "segmenter.refiners.sam.min_iou")[2:] == [
        "`0.5`", "`OBJSEEK_SEGMENTER__REFINERS__SAM__MIN_IOU`"
    ]  # fmt: skip
    assert row(page, "segmenter.levels")[1:3] == ['`"all"`, `"wholes"`', '`"all"`']
    assert row(page, "limit")[1:] == ["whole number, >= 1", "`None`", "`OBJSEEK_LIMIT`"]
    assert row(page, "store.include")[1] == "list of: text"
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings[:3] == ["Without a section", "store", "decode"]
    assert "segmenter.refiners.sam" in headings
    assert "`shard`, such as `3/8`, is the third of eight parts" in page


def test_every_command_is_there_with_its_options() -> None:
    page = write_commands()
    headings = re.findall(r"^## objseek (.+)$", page, re.MULTILINE)
    assert headings == list(COMMANDS)
    assert "\n### objseek keys create\n" in page
    search = page.partition("## objseek search\n")[2].partition("\n## ")[0]
    (limit,) = (line for line in search.splitlines() if line.startswith("| `-n, --limit"))
    assert "At most this many hits." in limit
    assert "[default: 10]" in limit
    assert '\n    objseek search "' in search


def test_every_route_is_there_with_its_fields() -> None:
    page = write_http()
    assert {"POST /v1/search", "DELETE /v1/objects/{object_id}"} <= set(
        re.findall(r"^## (\w+ /\S+)$", page, re.MULTILINE)
    )
    assert "| `diversity` |" in page
    assert "| 429 `application/problem+json` | Too many requests in the last minute. |" in page
    anchors = {name.lower() for name in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors


def test_python_has_signatures_and_examples() -> None:
    page = write_python()
    assert "\n## objseek.connect()\n" in page
    assert "\n### Index.search()\n" in page
    assert "\n### Hit.mask\n" in page
    assert '```pycon\n>>> objseek.connect("./index")\n' in page
    assert re.search(r"^objseek\.connect\(\n    location: .*\n    \*,\n", page, re.MULTILINE)


def test_fields_and_columns_are_those_of_the_schemas() -> None:
    payload, manifest = write_payload(), write_manifest()
    names = re.findall(r"^\| `(\w+)` \|", payload, re.MULTILINE)
    assert names == list(PointPayload.model_fields)
    assert row(payload, "area_frac")[1:] == ["number", "`= != < <= > >=`"]
    assert row(payload, "rle")[2] == ""
    assert re.findall(r"^\| `(\w+)` \|", manifest, re.MULTILINE) == MANIFEST_SCHEMA.names
    assert row(manifest, "at")[1] == "`timestamp[us, tz=UTC]`"


def test_every_page_is_in_the_navigation_once() -> None:
    config = tomllib.loads((ROOT / "docs" / "site" / "zensical.toml").read_text())
    named = re.findall(r"'([\w/-]+\.md)'", str(config["project"]["nav"]))
    assert sorted(named) == sorted({*list_pages().values(), *REFERENCES})


def test_links_are_moved_and_other_files_are_named() -> None:
    text = "[a](docs/guide.md#x) ![b](docs/page.png) [c](LICENSE) [d](https://e.org) [f](#g)"
    moved = "[a](guide.md#x) ![b](page.png) c [d](https://e.org) [f](#g)"
    assert move_links(text, "README.md") == moved
    assert move_links("[r](../bench/RESULTS.md)", "docs/scale.md") == "[r](results.md)"
    with pytest.raises(FileNotFoundError, match=r"docs/scale\.md names gone\.md"):
        move_links("[r](gone.md)", "docs/scale.md")


def test_tables_and_docstrings() -> None:
    assert write_table(("a",), [("x\n  y|z",)]) == "| a |\n| --- |\n| x y\\|z |\n"
    assert write_docstring("One.\n\n    >>> 1 + 1\n    2\n\n    Two.") == (
        "One.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nTwo."
    )


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example/css">', True),
        ('<img alt="" src="http://example.org/a.png">', True),
        ("@font-face { src: url(https://fonts.example/a.woff2) }", True),
        ('<a href="https://example.org">out</a> <img src="a.png">', False),
        ('<link rel="canonical" href="https://example.org/">', False),
    ],
)
def test_what_comes_from_other_hosts_is_found(tmp_path: Path, text: str, is_foreign: bool) -> None:
    (tmp_path / "index.html").write_text(text)
    assert bool(list(find_foreign(tmp_path))) == is_foreign
