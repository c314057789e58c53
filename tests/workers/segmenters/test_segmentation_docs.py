"""What docs/segmentation.md says: the models that there are, with their licences, and settings."""

from __future__ import annotations

import itertools
import re

from support.paths import ROOT

from schemas.options import SegmenterOptions
from workers.models import catalog
from workers.models.detectors import DEFAULT_DETECTOR, DETECTORS
from workers.segmenters.heads.class_map import LEAST_REGION_PX
from workers.segmenters.tasks import SCORES

PAGE = (ROOT / "docs" / "segmentation.md").read_text()
FINDS = {
    "everything": "everything",
    "instances": "instance",
    "things and stuff": "panoptic",
    "any of the three": "panoptic",
    "every pixel's class": "semantic",
    "what texts name": "texts",
    "tiles": "everything",
    "what `--boxes FILE` says": "boxes",
}


def read_table(head: str) -> list[list[str]]:
    lines = PAGE[PAGE.index(f"| {head} |") :].splitlines()[2:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def spell_out(name: str) -> list[str]:
    """`a_{b,c}` is a_b and a_c."""
    parts = [part.split(",") for part in re.split(r"[{}]", name)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def test_its_models_are_those_of_the_catalogue() -> None:
    rows = read_table("names")
    entries = {name: catalog.find(name) for name in catalog.names("segmenter")}
    named = [
        [name for group in re.findall(r"`([^`:]+)`", row[0]) for name in spell_out(group)]
        for row in rows
    ]
    assert sorted(itertools.chain.from_iterable(named)) == sorted(entries)
    for names, (_, finds, _, weights, _) in zip(named, rows, strict=True):
        for entry in (entries[name] for name in names):
            assert ("**" in weights) == bool(entry.restriction)
            licence = entry.restriction.rpartition("by ")[2].removeprefix("the ") or entry.licence
            assert licence.strip("-") in weights
            if finds == "what the name says":
                assert entry.task in entry.name
            else:
                assert entry.task == FINDS[finds]


def test_its_detectors_are_those_of_the_catalogue() -> None:
    rows = read_table("detector")
    named = [name for row in rows for name in spell_out(row[0].strip("`"))]
    assert sorted(named) == sorted(entry.name for entry in DETECTORS)
    assert {entry.licence for entry in DETECTORS} == {"Apache-2.0"}
    assert all(row[2] == "hub, Apache-2.0" for row in rows)


def test_its_settings_are_those_that_there_are() -> None:
    rows = read_table("setting")
    fields = SegmenterOptions.model_fields
    said = {
        "task": "what the model is for",
        "score_thresh": f"{SCORES['instance']}, panoptic {SCORES['panoptic']}, "
        f"texts {SCORES['text']}",
        "detector": f"`{DEFAULT_DETECTOR}`",
        "min_mask_region_area": str(LEAST_REGION_PX),
        "checkpoint": "",
    }
    assert len(rows) == 11
    for setting, default, *_ in rows:
        name = setting.strip("`")
        if name in said:
            assert (fields[name].default, default) == (None, said[name])
        else:
            assert default.strip("`") == str(fields[name].default).lower()
