"""Lists the models: names, sizes, licences, and where their weights are published."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from schemas.errors import ModelError, UnknownModelError
from workers.models.detectors import DETECTORS
from workers.models.model_entry import ModelEntry, ModelKind
from workers.models.more_segmenters import MORE_SEGMENTERS

LOCAL_PREFIX = "local-dir:"
"""Before the folder of an open_clip model that is in no list."""

DEMO_EMBEDDER = "clip_demo"

GROUNDED = "grounded"
"""Its boxes are a detector's and its masks another model's."""

_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything/"


def _sam(size: str, file_name: str, size_bytes: int, sha256: str) -> ModelEntry:
    return ModelEntry(
        name=f"sam_vit_{size}",
        kind="segmenter",
        source="official",
        licence="Apache-2.0",
        about=f"Segment Anything, ViT-{size.upper()}",
        file_name=file_name,
        size_bytes=size_bytes,
        url=_SAM_URL + file_name,
        sha256=sha256,
        module="sam",
    )


def _clip(name: str, hub_repo: str, size_mb: int, about: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        kind="embedder",
        source="open_clip",
        licence="MIT",
        about=about,
        size_bytes=size_mb * 1_000_000,
        hub_repo=hub_repo,
    )


CATALOG: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="sam_demo",
        kind="segmenter",
        source="bundled",
        licence="Apache-2.0",
        about="small demo model, knows emoji scenes only",
        file_name="sam_demo.safetensors",
        module="sam_demo",
    ),
    _sam(
        "b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    ModelEntry(
        name="maskrcnn_demo",
        kind="segmenter",
        source="bundled",
        licence="CC-BY-SA-4.0",
        about="small demo Mask R-CNN, five groups of things in emoji scenes only",
        file_name="maskrcnn_demo.safetensors",
        module="mask_rcnn_demo",
        task="instance",
    ),
    ModelEntry(
        name="segformer_demo",
        kind="segmenter",
        source="bundled",
        licence="CC-BY-SA-4.0",
        about="small demo SegFormer, five groups of things in emoji scenes only",
        file_name="segformer_demo.safetensors",
        module="segformer",
        task="semantic",
    ),
    *MORE_SEGMENTERS,
    *DETECTORS,
    ModelEntry(
        name="clip_demo",
        kind="embedder",
        source="bundled",
        licence="CC-BY-SA-4.0",
        about="small demo model, knows emoji scenes only",
        file_name="clip_demo.safetensors",
    ),
    _clip(
        "ViT-B-32/laion2b_s34b_b79k",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        605,
        "LAION-2B, the fastest of these",
    ),
    _clip(
        "ViT-B-16/laion2b_s34b_b88k",
        "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        599,
        "LAION-2B, finer patches",
    ),
    _clip(
        "ViT-L-14/laion2b_s32b_b82k",
        "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        1_710,
        "LAION-2B, large",
    ),
    _clip(
        "ViT-L-14/datacomp_xl_s13b_b90k",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        1_710,
        "DataComp-1B, large, the most accurate of its size",
    ),
    _clip(
        "ViT-H-14/laion2b_s32b_b79k",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        3_940,
        "LAION-2B, huge",
    ),
)


def find(name: str, kind: ModelKind | None = None) -> ModelEntry:
    """The entry of this name; that of a segmenter of texts is followed by a colon and these.

    Raises UnknownModelError with the nearest names.
    """
    plain, colon, _ = name.partition(":")
    for entry in CATALOG:
        is_of_texts = entry.kind == "segmenter" and entry.task == "texts"
        named = plain if colon and is_of_texts else name
        if entry.name == named and kind in (None, entry.kind):
            return entry
    raise unknown_model(name, kind or "model", names(kind))


def names(kind: ModelKind | None = None) -> list[str]:
    """Every name in the catalogue, or those of one kind."""
    return [entry.name for entry in CATALOG if kind in (None, entry.kind)]


def unknown_model(name: str, kind: str, known: Iterable[str]) -> UnknownModelError:
    """The error for a name that is not `known`: with near matches, or else with all names."""
    known = list(known)
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    hint = " or ".join(repr(folded[candidate]) for candidate in near)
    tail = f"did you mean {hint}?" if near else f"there are {', '.join(known)}"
    return UnknownModelError(f"no {kind} is called {name!r}: {tail}")


def bundled_path(entry: ModelEntry) -> Path:
    """Where the weights of a bundled model lie in the installed package (they may be absent)."""
    return bundled_file(entry.file_name)


def require_bundled(name: str) -> Path:
    """Where a bundled file lies. Raises ModelError if it does not."""
    path = bundled_file(name)
    if not path.is_file():
        raise ModelError(f"this installation of objseek is incomplete: {path} is missing")
    return path


def bundled_file(name: str) -> Path:
    """Where a bundled file lies in the installed package (it may be absent)."""
    return Path(str(resources.files("workers.bundled"))) / name
