"""A `Segmenter` that finds what segment-anything's automatic mask generator finds, faster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor

from schemas.boxes import BoxXyxy
from schemas.errors import UsageError
from schemas.ids import fingerprint
from schemas.images import UInt8Image
from schemas.masks import ObjectMask
from schemas.options import PromptsName, SegmenterOptions
from workers.models.threads import use_single_thread
from workers.segmenters.box_prompts import find_uncovered, put_first, trace_boxes, unite
from workers.segmenters.candidates import Candidates, Crop, filter_traced, object_masks
from workers.segmenters.crop_chooser import CropChooser, measure_crops
from workers.segmenters.crop_layout import CropLayout
from workers.segmenters.decoder.contour import Levels
from workers.segmenters.image_findings import ImageFindings
from workers.segmenters.masks.selection import (
    clean_regions,
    describe_limits,
    drop_equal,
    drop_overlaps,
    drop_parts,
    select_masks,
)
from workers.segmenters.masks.tracer import Tracer
from workers.segmenters.parameters import SPEED_ONLY, choose_prompts, effective_parameters
from workers.segmenters.point_choice import Bools, Float32s, Float64s
from workers.segmenters.point_plans import (
    AdaptivePrompts,
    Answers,
    GridPlan,
    Plan,
    trace_sure,
)
from workers.segmenters.point_scorer import LoadedScorer
from workers.segmenters.sam_prompter import Prompter, View
from workers.segmenters.side_by_side import map_side_by_side

_VERSION = 2  # to be raised whenever the same parameters give other masks


class GridSegmenter:
    """Prompts a model with a grid of points on an image and on its crops.

    `defaults` are the model's own parameters: they stand over the package's and under those of
    `options`. `fingerprint` covers the weights and every parameter that changes the result, so
    neither the device nor what is done at once. On a CPU no mask is held whole: of
    `points_per_batch` points the low-resolution logits, and of a mask whose predicted IoU is high
    enough its RLE. On an accelerator a few are (see `trace_gpu`).
    """

    def __init__(
        self,
        prompter: Prompter,
        *,
        weights_sha256: str,
        options: SegmenterOptions,
        defaults: Mapping[str, float] | None = None,
        default_prompts: PromptsName = "grid",
        scorer: LoadedScorer | None = None,
    ) -> None:
        self._parameters = parameters = effective_parameters(options, defaults or {})
        self.name = options.name
        made_of: dict[str, object] = {
            "segmenter": options.name,
            "weights_sha256": weights_sha256,
            "generator": f"GridSegmenter {_VERSION}",
            "parameters": {k: v for k, v in parameters.items() if k not in SPEED_ONLY},
            "limits": describe_limits(options),
        }
        self.notes: tuple[str, ...] = ()
        self._adaptive: AdaptivePrompts | None = None
        self._levels: Levels | None = None
        if choose_prompts(options, default_prompts) == "adaptive":
            self._adaptive = AdaptivePrompts.choose(parameters, scorer)
            # Of the whole grid masks are the package's own, islands and all.
            offset = parameters["stability_score_offset"]
            self._levels = Levels.around(prompter.mask_threshold, offset)
            made_of["prompts"] = self._adaptive.describe()
            self.notes = self._adaptive.explain(scorer, parameters, options.scorer)
        self.fingerprint = fingerprint(made_of)
        self.weights_sha256 = weights_sha256
        self._prompter, self._options = prompter, options
        self._at_once = int(parameters["images_per_batch"])
        self._points_at_once = int(parameters["points_per_batch"])
        self._layout = CropLayout(parameters, prompter)
        scorer_in_use = None if self._adaptive is None else self._adaptive.scorer
        # It was learnt of the crops of a single layer.
        self._chooser = scorer_in_use.crops if scorer_in_use and self._layout.layers == 1 else None

    def segment(self, images: Sequence[UInt8Image]) -> list[list[ObjectMask]]:
        """Masks of each uint8 (height, width, 3) RGB image, largest first; empty if none is found.

        Masks outside the area limits are dropped, then all but the `max_objects` of the highest
        `predicted_iou`. Crops of all images are encoded `images_per_batch` at a time, and so many
        points prompted; from then on fewer where the device has no room for them.
        """
        return self._segment(images, [()] * len(images))

    def segment_with_boxes(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        """A mask for each box of each image, the surest, whatever the thresholds and limits.

        Then what points find, adaptively, that none of these covers. An image without boxes is
        asked as `segment` does.
        """
        return self._segment(images, boxes)

    def _segment(
        self, images: Sequence[UInt8Image], boxes: Sequence[Sequence[BoxXyxy]]
    ) -> list[list[ObjectMask]]:
        findings = [
            ImageFindings(number, self._layout.pad(image), image.shape[:2], given)
            for number, (image, given) in enumerate(zip(images, boxes, strict=True))
        ]
        crops = (self._layout.cut(of_image.number, of_image.padded) for of_image in findings)
        if self._chooser is None:
            self._look_at(findings, chain.from_iterable(crops))
        else:
            self._look_at(findings, map(next, crops))
            self._look_at(findings, (crop for of_image in findings for crop in of_image.later))
        most_iou = min(self._parameters[name] for name in ("box_nms_thresh", "mask_nms_thresh"))
        most = self._options.max_objects
        masks = [
            self.join(of_image.found, of_image.padded.shape[:2], of_image.size_hw)
            for of_image in findings
        ]
        return [
            put_first(of_image.in_boxes, others, most_iou, most) if of_image.in_boxes else others
            for of_image, others in zip(findings, masks, strict=True)
        ]

    def _look_at(self, findings: Sequence[ImageFindings], crops: Iterator[Crop]) -> None:
        """Have masks found in crops of images, several encoded at once."""
        while batch := list(islice(crops, self._at_once)):
            views = self._views(batch)
            with self._decoding():
                for crop, view in zip(batch, views, strict=True):
                    of_image = findings[crop.image]
                    if of_image.boxes and crop.is_whole:
                        of_image.in_boxes = self._find_in_boxes(
                            crop, view, of_image.boxes, of_image.size_hw
                        )
                known = [findings[crop.image].known for crop in batch]
                parts = map_side_by_side(
                    lambda args: self._find_at_points(*args),
                    list(zip(batch, views, known, strict=True)),
                    self._prompter.device,
                )
            for crop, view, part in zip(batch, views, parts, strict=True):
                of_image = findings[crop.image]
                of_image.found.append(part)
                if self._chooser is not None and crop.layer == 0:
                    of_image.later = self._choose_crops(self._chooser, of_image, view, part)

    def _choose_crops(
        self, chooser: CropChooser, of_image: ImageFindings, view: View, found: Candidates
    ) -> list[Crop]:
        """Those looked at after the whole image: all where boxes were given, which hide points."""
        whole, *crops = self._layout.cut(of_image.number, of_image.padded)
        if of_image.boxes or not crops:
            return crops
        worth = chooser.find_worth(self.measure_crops(whole, crops, view, found))
        return [crop for crop, is_worth in zip(crops, worth.tolist(), strict=True) if is_worth]

    def measure_crops(
        self, whole: Crop, crops: Sequence[Crop], view: View, found: Candidates
    ) -> Float64s:
        """What a chooser of crops looks at, see `measure_crops`.

        `view` and `found` are the whole image's. There has to be a scorer.
        """
        assert self._adaptive is not None
        assert self._adaptive.scorer is not None
        network = self._adaptive.scorer.network
        score = partial(network.score, view.embedding, whole)
        return measure_crops(whole.image_hw, crops, map(self.grid_of, crops), score, found)

    def _find_at_points(
        self, crop: Crop, view: View, known: Sequence[ObjectMask] | None
    ) -> Candidates:
        return self._without_duplicates(self._passing(crop, view, self._plan(crop, view, known)))

    def _find_in_boxes(
        self, crop: Crop, view: View, boxes: Sequence[BoxXyxy], size_hw: tuple[int, int]
    ) -> list[ObjectMask]:
        """The masks of boxes in an image, but for empty ones; of equal ones one."""
        found = self._trace_in_boxes(crop, view, boxes)
        return drop_equal(object_masks(found, crop.image_hw, size_hw))

    def mask_boxes(self, image: UInt8Image, boxes: Sequence[BoxXyxy]) -> list[ObjectMask | None]:
        """See `BoxMasker`: the surest of the model's masks for each box."""
        crop = self.crops_of(image)[0]
        (view,) = self._views([crop])
        with self._decoding():
            found = self._trace_in_boxes(crop, view, boxes)
        size_hw = image.shape[0], image.shape[1]
        rows = (found.take(np.array([row])) for row in range(len(boxes)))
        return [next(object_masks(row, crop.image_hw, size_hw), None) for row in rows]

    def _trace_in_boxes(self, crop: Crop, view: View, boxes: Sequence[BoxXyxy]) -> Candidates:
        """The mask of each box in an image, however unstable; empty ones too."""
        tracer = self._layout.make_tracer(crop)
        scores, points_xy = trace_boxes(view, boxes, self._points_at_once, tracer)
        parameters = {**self._parameters, "stability_score_thresh": 0.0}
        return filter_traced(tracer.finish(), scores, points_xy, parameters, crop)

    def segment_at(self, image: UInt8Image, point_xy: tuple[float, float]) -> ObjectMask | None:
        """The surest of the model's masks for a point, pixels of uint8 (height, width, 3) RGB.

        None if all are empty. Raises UsageError for a point that is not in the image.
        """
        (x, y), (height, width) = point_xy, image.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(
                f"expected a point within the image's {width} x {height} pixels, got {x:g},{y:g}"
            )
        crop = self.crops_of(image)[0]
        point = np.array([[x, y]], np.float64)
        guesses = self._prompter.encode([crop.pixels])[0].guess(point)
        logits = guesses.logits(np.ones((1, 3), np.bool_))
        masks = self.trace_prompted(crop, logits, guesses.predicted_iou[0], (x, y), (height, width))
        return max(masks, key=lambda mask: mask.sureness, default=None)

    def trace_prompted(
        self,
        crop: Crop,
        logits: Tensor,
        predicted_iou: Float32s,
        point_xy: tuple[float, float],
        size_hw: tuple[int, int],
    ) -> list[ObjectMask]:
        """The masks of a prompt at the size of the image, but for empty ones; however unstable.

        logits float32 (n, rows, low_side); predicted_iou float32 (n,).
        """
        tracer = self._layout.make_tracer(crop)
        tracer.add(logits)
        parameters = {**self._parameters, "stability_score_thresh": 0.0}
        points = np.tile(np.array(point_xy, np.float64), (len(logits), 1))
        found = filter_traced(tracer.finish(), predicted_iou, points, parameters, crop)
        return list(object_masks(found, crop.image_hw, size_hw))

    def _decoding(self) -> AbstractContextManager[None]:
        """Prompts are thousands of small products: on a CPU threads would only wait in them."""
        on_cpu = self._prompter.device.type == "cpu"
        return use_single_thread() if on_cpu else nullcontext()

    def _views(self, crops: Sequence[Crop]) -> Sequence[View]:
        """All encoded at once, or, where the device has no room for so many, by halves."""
        try:
            return self._prompter.encode([crop.pixels for crop in crops])
        except torch.OutOfMemoryError:
            if len(crops) == 1:
                raise
        self._at_once = half = (len(crops) + 1) // 2
        return [*self._views(crops[:half]), *self._views(crops[half:])]

    def join(
        self, parts: Sequence[Candidates], padded_hw: tuple[int, int], size_hw: tuple[int, int]
    ) -> list[ObjectMask]:
        """What stays of the candidates of all crops of an image, as `segment` has it."""
        parameters, found = self._parameters, Candidates.together(parts)
        if self._layout.layers:
            # Of the same thing in several crops, the mask of the smallest crop stays.
            threshold = parameters["crop_nms_thresh"]
            found = found.without_duplicates(1 / found.rows["crop_area_px"], threshold)
        masks = drop_equal(object_masks(found, padded_hw, size_hw))
        if min_area_px := int(parameters["min_mask_region_area"]):
            thresholds = parameters["box_nms_thresh"], parameters["crop_nms_thresh"]
            masks = clean_regions(masks, min_area_px, max(thresholds))
        masks = drop_overlaps(masks, parameters["mask_nms_thresh"])
        masks = drop_parts(masks, parameters["part_thresh"])
        return select_masks(masks, self._options)

    def with_prompts(
        self, prompter: Prompter, prompts: PromptsName, scorer: LoadedScorer | None = None
    ) -> GridSegmenter:
        """The same parameters with other prompts, asked of a prompter of the same model."""
        options = self._options.model_copy(update={"prompts": prompts, "scorer": None})
        return GridSegmenter(
            prompter,
            weights_sha256=self.weights_sha256,
            options=options,
            defaults=self._parameters,
            scorer=scorer,
        )

    @property
    def parameters(self) -> Mapping[str, float]:
        """All parameters in force."""
        return self._parameters

    @property
    def prompter(self) -> Prompter:
        return self._prompter

    def find_in_crop(self, crop: Crop) -> tuple[View, Candidates]:
        """A crop as the model sees it, and what it shows, for itself."""
        view = self._views([crop])[0]
        with self._decoding():
            return view, self._find_at_points(crop, view, None)

    def find_yielding(self, crop: Crop, points_xy: Float64s) -> tuple[View, Bools]:
        """Which points of a crop give a mask that passes the thresholds: bool (n,).

        points_xy float64 (n, 2), pixels of the crop.
        """
        view = self._views([crop])[0]
        plan = GridPlan(points_xy, int(self._parameters["points_per_batch"]))
        with self._decoding():
            rows = self._passing(crop, view, plan).rows
        same = rows["point_xy"][:, None] == points_xy + crop.box[:2]
        yielding: Bools = same.all(axis=2).any(axis=0)
        return view, yielding

    def _without_duplicates(self, found: Candidates) -> Candidates:
        return found.without_duplicates(
            found.rows["predicted_iou"], self._parameters["box_nms_thresh"]
        )

    def _passing(self, crop: Crop, view: View, plan: Plan) -> Candidates:
        """Every mask of a crop's points that passes the thresholds."""
        parameters = self._parameters
        tracer = self._layout.make_tracer(crop)
        predicted, prompted = [np.empty(0, np.float32)], [np.empty((0, 2))]
        for batch_xy in plan:
            for answers in self._ask(view, batch_xy, plan, tracer):
                is_new = answers.repeated < 0
                predicted.append(answers.guesses.predicted_iou[is_new])
                prompted.append(batch_xy[answers.of_points[is_new]])
                plan.learn(answers)
        # At once, because a batch is a few points and its masks a few rows.
        scores, points_xy = np.concatenate(predicted), np.concatenate(prompted)
        return filter_traced(tracer.finish(), scores, points_xy, parameters, crop)

    def _ask(self, view: View, batch_xy: Float64s, plan: Plan, tracer: Tracer) -> Iterator[Answers]:
        """The answers to a batch, traced by then; in parts where the device has no room."""
        start = 0
        while start < len(batch_xy):
            part = batch_xy[start : start + self._points_at_once]
            try:
                answers = trace_sure(view, part, self._levels, self._parameters, plan, tracer)
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                # From now on, as the next images are likely to be no smaller.
                self._points_at_once = (len(part) + 1) // 2
                continue
            if answers is not None:
                yield replace(answers, of_points=answers.of_points + start)
            start += len(part)

    def _plan(self, crop: Crop, view: View, known: Sequence[ObjectMask] | None = None) -> Plan:
        """Which points of a crop are asked; adaptively where masks of boxes are known."""
        parameters = self._parameters
        points = self.grid_of(crop)
        batch = int(parameters["points_per_batch"])
        adaptive, is_open = self._adaptive, None
        if known is not None:
            # Whole grids may have a scorer that is in no fingerprint: it decides nothing here.
            adaptive = adaptive or AdaptivePrompts.choose(parameters, None)
            is_open = find_uncovered(unite(known, crop.image_hw), crop, points)
        if adaptive is None:
            return GridPlan(points, batch)
        meter = self._layout.make_meter(crop, points)
        return adaptive.plan(view, crop, points, meter, batch, is_open)

    def crops_of(self, image: UInt8Image) -> list[Crop]:
        """All crops of an image, itself first, padded where it is too small for them."""
        return list(self._layout.cut(0, self._layout.pad(image)))

    def grid_of(self, crop: Crop) -> Float64s:
        """The points that a crop may be asked at: float64 (n, 2), its pixels."""
        return self._layout.grid_of(crop)
