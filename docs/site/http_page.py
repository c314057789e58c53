"""Writes the reference of the HTTP interface from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docs.site.markdown import write_code, write_docstring, write_table
from pipeline.service.app import describe_service

_INTRODUCTION = """# HTTP

What `objseek serve` answers. The service has this reference itself at `/docs`, and the OpenAPI
document at `/openapi.json`. Where it has keys, each request brings one:
`Authorization: Bearer KEY`.
"""
_FIELDS = ("field", "values", "")


def write_http() -> str:
    """The page: every route, then the fields of what is sent and answered."""
    document = describe_service().openapi()
    routes = (
        line
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for line in _write_route(f"{method.upper()} {path}", operation)
    )
    schemas = document["components"]["schemas"]
    parts = (line for name, schema in schemas.items() for line in _write_schema(name, schema))
    return "\n".join([_INTRODUCTION, *routes, "## What is sent and answered\n", *parts])


def _write_route(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    yield write_docstring(operation.get("description") or operation.get("summary")) + "\n"
    parameters = [
        (f"`{each['name']}`", _describe(each["schema"]), _tell(each["schema"] | each))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield write_table(("parameter", "values", ""), parameters)
    body = operation.get("requestBody", {}).get("content", {})
    rows = [(f"body, `{kind}`", _describe(each.get("schema", {}))) for kind, each in body.items()]
    for status, answer in operation["responses"].items():
        kinds = answer.get("content", {}) or {"": {}}
        rows += [
            (f"{status} {write_code(kind)}", _write_answer(answer["description"], each))
            for kind, each in kinds.items()
        ]
    yield write_table(("sent, answered", ""), rows)


def _write_answer(description: str, content: Mapping[str, Any]) -> str:
    """What is answered, or what it means where its fields have no name."""
    fields = _describe(content.get("schema", {}))
    return description if fields in ("", "object") else fields


def _write_schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    yield write_docstring(schema.get("description")) + "\n"
    needed = schema.get("required", ())
    fields = [
        (f"`{field}`", _describe(each) + (", needed" if field in needed else ""), _tell(each))
        for field, each in schema.get("properties", {}).items()
    ]
    yield write_table(_FIELDS, fields) if fields else _describe(schema) + "\n"


def _tell(schema: Mapping[str, Any]) -> str:
    """What a field is for, and its default."""
    default = schema.get("default")
    parts = [schema.get("description", "")]
    parts += [] if default in (None, [], ()) else [f"Default: `{default}`."]
    return " ".join(filter(None, parts))


def _describe(schema: Mapping[str, Any]) -> str:
    """What values a schema has, in words and links."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for many in ("anyOf", "oneOf", "allOf"):
        if many in schema:
            return " or ".join(dict.fromkeys(map(_describe, schema[many])))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "")
    if kind == "array":
        parts = schema.get("prefixItems")
        inner = " and ".join(map(_describe, parts)) if parts else _describe(schema.get("items", {}))
        return f"list of: {inner}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"by name: {_describe(schema['additionalProperties'])}"
    return " ".join(filter(None, (schema.get("format"), kind, _write_bounds(schema))))


def _write_bounds(schema: Mapping[str, Any]) -> str:
    signs = {
        "minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<",
    }  # fmt: skip
    return ", ".join(f"{sign} {schema[word]:g}" for word, sign in signs.items() if word in schema)
