"""Merges the settings that a request gives with those of the service."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import BaseModel, ValidationError

from pipeline.messages import validation_sentence
from pipeline.service.problems import ProblemError
from pipeline.settings import Settings
from schemas.ingest_api import INGEST_SECTIONS


def merge_settings(
    settings: Settings, sections: dict[str, dict[str, object]], limit: int | None
) -> Settings:
    """`settings` with the values in `sections` in place of their own, and with `limit`.

    Raises ProblemError for sections that a request may not change, and for values that are not
    valid.
    """
    unknown = sorted(set(sections) - set(INGEST_SECTIONS))
    if unknown:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"settings: expected some of {', '.join(INGEST_SECTIONS)}, got {', '.join(unknown)}",
        )
    try:
        merged = {
            name: _merge_section(getattr(settings, name), values)
            for name, values in sections.items()
        }
    except ValidationError as exc:
        sentence = f"settings: {validation_sentence(exc)}"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence) from exc
    return settings.model_copy(update={**merged, "limit": limit})


def _merge_section(section: BaseModel, values: dict[str, object]) -> BaseModel:
    return type(section).model_validate({**section.model_dump(exclude_unset=True), **values})
