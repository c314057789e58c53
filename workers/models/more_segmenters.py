"""Lists the segmenters of the hub and of torchvision, and those that need no model."""

from __future__ import annotations

from collections.abc import Iterator

from workers.models.model_entry import ModelEntry, SegmenterTask

_TORCHVISION_URL = "https://download.pytorch.org/models/"
_NVIDIA_LICENCE = "NVIDIA-SCL"
_RESEARCH_ONLY = "for research and evaluation only, by the NVIDIA Source Code License"
_NON_COMMERCIAL = "not for commercial use, by CC-BY-NC-4.0"


def _hub(
    name: str,
    module: str,
    hub_repo: str,
    size_mb: int,
    task: SegmenterTask,
    about: str,
    licence: str = "MIT",
    restriction: str = "",
) -> ModelEntry:
    return ModelEntry(
        name=name,
        kind="segmenter",
        source="hub",
        licence=licence,
        about=about,
        size_bytes=size_mb * 1_000_000,
        hub_repo=hub_repo,
        module=module,
        task=task,
        restriction=restriction,
    )


def _mask_rcnn(name: str, file_name: str, size_mb: int, about: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        kind="segmenter",
        source="official",
        licence="BSD-3-Clause",
        about=about,
        file_name=file_name,
        size_bytes=size_mb * 1_000_000,
        url=_TORCHVISION_URL + file_name,
        # torchvision names its files by the first eight digits.
        sha256=file_name.removesuffix(".pth").rpartition("-")[2],
        module="mask_rcnn",
        task="instance",
    )


def _sam2() -> Iterator[ModelEntry]:
    sizes = {"t": ("tiny", 156), "s": ("small", 184), "b+": ("base-plus", 323), "l": ("large", 898)}
    for size, (spelled, size_mb) in sizes.items():
        yield _hub(
            f"sam2.1_{size}",
            "sam2",
            f"facebook/sam2.1-hiera-{spelled}",
            size_mb,
            "everything",
            f"Segment Anything 2.1, Hiera {spelled}",
            licence="Apache-2.0",
        )


def _rf_detr() -> Iterator[ModelEntry]:
    # Parameters in millions, as published: four bytes each.
    sizes = {
        "nano": 33.6, "small": 33.7, "medium": 35.7, "large": 36.2, "xlarge": 38.1, "2xlarge": 38.6,
    }  # fmt: skip
    for size, parameters in sizes.items():
        yield _hub(
            f"rf_detr_seg_{size}",
            "rf_detr",
            f"Roboflow/rf-detr-seg-{size}",
            round(4 * parameters),
            "instance",
            f"RF-DETR-Seg {size}, instances of COCO's 80 classes",
            licence="Apache-2.0",
        )


def _segformer() -> Iterator[ModelEntry]:
    parameters = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}
    for size, millions in parameters.items():
        side = 640 if size == "b5" else 512
        for name, data in (("ade", f"ade-{side}-{side}"), ("cityscapes", "cityscapes-1024-1024")):
            classes = "ADE20K's 150" if name == "ade" else "Cityscapes' 19"
            yield _hub(
                f"segformer_{size}_{name}",
                "segformer",
                f"nvidia/segformer-{size}-finetuned-{data}",
                round(4 * millions),
                "semantic",
                f"SegFormer {size.upper()}, every pixel as one of {classes} classes",
                licence=_NVIDIA_LICENCE,
                restriction=_RESEARCH_ONLY,
            )


def _eomt() -> Iterator[ModelEntry]:
    sizes = {
        "s": ("tue-mps/coco_panoptic_eomt_small_640_2x", 95),
        "b": ("tue-mps/coco_panoptic_eomt_base_640_2x", 370),
        "l": ("tue-mps/coco_panoptic_eomt_large_640", 1_280),
    }
    for size, (repo, size_mb) in sizes.items():
        about = f"EoMT-{size.upper()}, things and stuff of COCO's 133 classes"
        yield _hub(f"eomt_coco_panoptic_{size}", "eomt", repo, size_mb, "panoptic", about)
    yield _hub(
        "eomt_ade_semantic_l",
        "eomt",
        "tue-mps/ade20k_semantic_eomt_large_512",
        1_270,
        "semantic",
        "EoMT-L, every pixel as one of ADE20K's 150 classes",
    )


def _mask2former() -> Iterator[ModelEntry]:
    sizes = {"t": ("tiny", 190), "s": ("small", 275), "b": ("base", 430), "l": ("large", 866)}
    tasks: dict[str, tuple[str, SegmenterTask, str]] = {
        "coco_instance": ("coco-instance", "instance", "instances of COCO's 80 classes"),
        "coco_panoptic": ("coco-panoptic", "panoptic", "things and stuff of COCO's 133 classes"),
        "ade_semantic": ("ade-semantic", "semantic", "every pixel as one of ADE20K's 150 classes"),
    }
    for task_name, (data, task, what) in tasks.items():
        for size, (spelled, size_mb) in sizes.items():
            yield _hub(
                f"mask2former_swin_{size}_{task_name}",
                "mask2former",
                f"facebook/mask2former-swin-{spelled}-{data}",
                size_mb,
                task,
                f"Mask2Former, Swin-{size.upper()}, {what}",
                licence="CC-BY-NC-4.0",
                restriction=_NON_COMMERCIAL,
            )


def _oneformer() -> Iterator[ModelEntry]:
    models: tuple[tuple[str, str, int, SegmenterTask, str], ...] = (
        ("swin_l_coco", "coco_swin_large", 880, "panoptic", "COCO's 133 classes, any task"),
        ("swin_t_ade", "ade20k_swin_tiny", 477, "semantic", "ADE20K's 150 classes"),
        ("swin_l_ade", "ade20k_swin_large", 880, "semantic", "ADE20K's 150 classes"),
        ("swin_l_cityscapes", "cityscapes_swin_large", 880, "panoptic", "Cityscapes' 19 classes"),
    )
    for name, repo, size_mb, task, what in models:
        about = f"OneFormer, {what}"
        yield _hub(
            f"oneformer_{name}", "oneformer", f"shi-labs/oneformer_{repo}", size_mb, task, about
        )


def _without_model(name: str, task: SegmenterTask, about: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        kind="segmenter",
        source="none",
        licence="-",
        about=about,
        module=name,
        task=task,
    )


_SAM3 = ModelEntry(
    name="sam3",
    kind="segmenter",
    source="user",
    licence="SAM License",
    about="sam3:TEXT,TEXT by Segment Anything 3, weights on request",
    size_bytes=3_440_000_000,
    hub_repo="facebook/sam3",
    module="sam3",
    task="texts",
)

MORE_SEGMENTERS: tuple[ModelEntry, ...] = (
    _mask_rcnn(
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        178,
        "Mask R-CNN, instances of COCO's 80 classes",
    ),
    _mask_rcnn(
        "maskrcnn_resnet50_fpn_v2",
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        186,
        "Mask R-CNN trained longer, instances of COCO's 80 classes",
    ),
    *_sam2(),
    *_rf_detr(),
    *_segformer(),
    *_eomt(),
    *_mask2former(),
    *_oneformer(),
    _without_model("grounded", "texts", "grounded:TEXT,TEXT by a detector's boxes and a SAM"),
    _SAM3,
    _without_model("grid", "everything", "no model: tiles, each an object"),
    _without_model("boxes", "boxes", "no model: each box of a file is its object's mask"),
)
