"""Logs what happens to images, in a sentence for people and in fields for machines."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pipeline.observing.observer import WrittenImage
from schemas.ids import image_id
from schemas.images import Failure
from schemas.records import Result

_log = logging.getLogger(__name__)


def log_failures(results: Iterable[Result]) -> None:
    """A line for each image among these that is rejected, failed or gone."""
    for result in results:
        if not isinstance(result, Failure):
            continue
        fields = {
            "event": WrittenImage.of(result).outcome,
            "image": str(image_id(result.ref)),
            "uri": result.ref.uri,
            "stage": str(result.stage),
            "reason": result.error_class,
        }
        _log.warning("%s: %s", result.stage, result.message, extra={"fields": fields})
