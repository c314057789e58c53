"""Answers requests for a part of a file: players ask for clips so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request, Response

from pipeline.service.problems import problem_response

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def answer_range(
    request: Request, data: bytes, headers: Mapping[str, str], media_type: str
) -> Response:
    """The part of `data` that the request's Range header names, or all of it.

    Several ranges at once, and those of units or forms that are not known, are answered with all,
    as RFC 9110 allows; one that begins beyond the end with 416.
    """
    headers = {**headers, "Accept-Ranges": "bytes"}
    wanted = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if_range = request.headers.get("if-range")
    is_of_this = if_range is None or if_range == headers.get("ETag")
    if wanted is None or not any(wanted.groups()) or not is_of_this:
        return Response(data, media_type=media_type, headers=headers)
    first, last = wanted.groups()
    if not first:
        start, end = max(len(data) - int(last), 0), len(data)
    else:
        start, end = int(first), min(int(last or len(data)) + 1, len(data))
        if last and int(last) < start:  # no range at all: it is passed over
            return Response(data, media_type=media_type, headers=headers)
    if start >= len(data):
        return problem_response(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"expected a range within {len(data)} bytes",
            request.url.path,
            headers={"Content-Range": f"bytes */{len(data)}"},
        )
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(
        data[start:end],
        status_code=HTTPStatus.PARTIAL_CONTENT,
        media_type=media_type,
        headers=headers,
    )
