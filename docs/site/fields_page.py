"""Writes the reference of what is kept: fields of a point, columns of the record of images."""

from __future__ import annotations

from docs.site.markdown import write_code, write_docstring, write_table
from docs.site.settings_page import describe_values
from schemas import payload
from schemas.manifest import MANIFEST_SCHEMA, ManifestRow, State
from schemas.payload import PointPayload

_COMPARED = {
    payload.KEYWORD_FIELDS: "= != ^=",
    payload.INTEGER_FIELDS: "= != < <= > >=",
    payload.FLOAT_FIELDS: "= != < <= > >=",
    payload.DATETIME_FIELDS: "= != < <= > >=",
    ("added",): "= !=",
}


def write_payload() -> str:
    """The page of the fields that an index keeps of each point."""
    rows = [
        (f"`{name}`", describe_values(field.annotation), write_code(_find_comparison(name)))
        for name, field in PointPayload.model_fields.items()
    ]
    return "\n".join(
        [
            "# Fields of a point\n",
            "What an index keeps of each object and each image beside its vector, and what hits, "
            "exports and filters name.\n",
            write_docstring(PointPayload.__doc__) + "\n",
            write_table(("field", "values", "filters"), rows),
        ]
    )


def write_manifest() -> str:
    """The page of the columns that the manifest has."""
    rows = [(f"`{field.name}`", f"`{field.type}`") for field in MANIFEST_SCHEMA]
    return "\n".join(
        [
            "# Columns of the manifest\n",
            "The record of images: Parquet files beside the index, or where `--state` says. The "
            "last attempt at an image is the one with the latest `at`.\n",
            write_docstring(ManifestRow.__doc__) + "\n",
            f"States: {write_docstring(State.__doc__)}\n",
            write_table(("column", "type"), rows),
        ]
    )


def _find_comparison(name: str) -> str:
    return next((signs for fields, signs in _COMPARED.items() if name in fields), "")
