"""A client of the search service: typed, one connection, errors as sentences.

with Client("http://127.0.0.1:8765") as client:
    for hit in client.search("a red apple").hits:
        print(hit.score, hit.payload.uri)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from schemas.api import (
    AddedAnswer,
    AddRequest,
    BatchAnswer,
    BatchError,
    BatchRequest,
    FacetsAnswer,
    ImageAnswer,
    MapState,
    ObjectAnswer,
    SearchAnswer,
    SearchRequest,
    StatsAnswer,
    UploadAnswer,
    UploadObjectsAnswer,
)
from schemas.browsing import VarietyAnswer
from schemas.errors import ServiceError, ServiceUnavailableError, UsageError
from schemas.export_api import ExportRequest
from schemas.ingest_api import IngestRequest, IngestState, ReembedRequest
from schemas.object_map import ObjectMap, unpack_map
from schemas.segment_api import SegmentAnswer, SegmentRequest
from schemas.tag_api import TagAnswer, TagRequest

_TIMEOUT_S = 60.0
_FILTERED_TIMEOUT_S = 3600.0
"""A service answers when all objects under a filter are tagged, searches coming in between."""
_EVENT = "data: "
_USAGE_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_Answer = TypeVar("_Answer", bound=BaseModel)


class Client:
    """Sends requests to the service at `url`, with `key` if it needs one.

    Raises UsageError for invalid requests, ServiceUnavailableError if the service does not answer
    or cannot now, ServiceError for any other failure.
    """

    def __init__(self, url: str, key: str | None = None, timeout_s: float = _TIMEOUT_S) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._url = url
        # Proxies are for what is far away, and would see the key.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def search(self, query: SearchRequest | str) -> SearchAnswer:
        """The hits of a query, or of a text, best first."""
        request = SearchRequest(text=query) if isinstance(query, str) else query
        return self._call(SearchAnswer, "POST", "/v1/search", request)

    def pages(self, query: SearchRequest | str) -> Iterator[SearchAnswer]:
        """All pages of a query; no hit appears twice, whatever is written meanwhile."""
        request = SearchRequest(text=query) if isinstance(query, str) else query
        while True:
            answer = self.search(request)
            yield answer
            if answer.cursor is None:
                return
            request = request.model_copy(update={"cursor": answer.cursor})

    def search_batch(
        self, queries: Sequence[SearchRequest]
    ) -> tuple[SearchAnswer | BatchError, ...]:
        """An answer or an error for each of up to 256 queries."""
        batch = BatchRequest(queries=tuple(queries))
        return self._call(BatchAnswer, "POST", "/v1/search/batch", batch).results

    def upload(self, image: Path | bytes) -> UploadAnswer:
        """Upload an image to search with: a file, or the bytes of one."""
        data = image if isinstance(image, bytes) else image.read_bytes()
        response = self._send("POST", "/v1/uploads", content=data)
        return UploadAnswer.model_validate_json(response.content)

    def upload_objects(self, upload_id: str) -> UploadObjectsAnswer:
        """What an upload shows, or that it is still being looked for."""
        return self._call(UploadObjectsAnswer, "GET", f"/v1/uploads/{upload_id}/objects")

    def segment(self, request: SegmentRequest) -> SegmentAnswer:
        """The masks of an upload or an indexed image, by what is asked for."""
        return self._call(SegmentAnswer, "POST", "/v1/segment", request)

    def object(self, object_id: str) -> ObjectAnswer:
        """An indexed object."""
        return self._call(ObjectAnswer, "GET", f"/v1/objects/{object_id}")

    def add_object(self, request: AddRequest) -> AddedAnswer:
        """Add an object to an indexed image by hand; needs a key of the scope ingest."""
        return self._call(AddedAnswer, "POST", "/v1/objects", request)

    def remove_object(self, object_id: str) -> None:
        """Remove an object that was added by hand; needs a key of the scope ingest."""
        self._send("DELETE", f"/v1/objects/{object_id}")

    def tag(self, request: TagRequest) -> TagAnswer:
        """Tag objects, or take tags from them: up to 1,000 by their ids, or all under a filter.

        Needs a key of the scope ingest.
        """
        more = {"timeout": self._wait_longer(_FILTERED_TIMEOUT_S)} if request.filter else {}
        return self._call(TagAnswer, "POST", "/v1/objects/tags", request, **more)

    def export(self, request: ExportRequest) -> bytes:
        """Up to 1,000 objects as a file for other programs."""
        return self._send(
            "POST", "/v1/export", content=request.model_dump_json(),
            headers={"Content-Type": "application/json"},
        ).content  # fmt: skip

    def crop(self, object_id: str, size: int = 512, *, outline: bool = True) -> bytes:
        """The object with a margin, as a JPEG."""
        params = {"size": size, "outline": outline}
        return self._send("GET", f"/v1/objects/{object_id}/crop.jpg", params=params).content

    def thumbnails(self, object_ids: Sequence[str]) -> dict[str, bytes]:
        """The thumbnails that are kept of objects, WebP, by id; those without one are left out."""
        found = {}
        for identity in object_ids:
            response = self._request("GET", f"/v1/objects/{identity}/thumbnail.webp")
            if response.status_code == HTTPStatus.NOT_FOUND:
                continue
            found[identity] = self._check(response).content
        return found

    def mask(self, object_id: str) -> bytes:
        """The object's mask over its image, as a PNG."""
        return self._send("GET", f"/v1/objects/{object_id}/mask.png").content

    def image(self, image_id: str) -> ImageAnswer:
        """An indexed image with its objects."""
        return self._call(ImageAnswer, "GET", f"/v1/images/{image_id}")

    def preview(self, image_id: str, size: int = 1280, *, masks: bool = False) -> bytes:
        """The image, at most `size` pixels long, as a JPEG."""
        params = {"size": size, "masks": masks}
        return self._send("GET", f"/v1/images/{image_id}/preview.jpg", params=params).content

    def facets(
        self, filters: Sequence[str] = (), kind: str = "object", limit: int = 20
    ) -> FacetsAnswer:
        """Counts by label, bucket and size under conditions such as `labels=dog`."""
        params = {"filter": list(filters), "kind": kind, "limit": limit}
        return self._call(FacetsAnswer, "GET", "/v1/facets", params=params)

    def variety(self, limit: int = 48, filters: Sequence[str] = (), turn: int = 0) -> VarietyAnswer:
        """Objects unlike each other, of a sample; another `turn` chooses others."""
        params = {"filter": list(filters), "limit": limit, "turn": turn}
        return self._call(VarietyAnswer, "GET", "/v1/variety", params=params)

    def stats(self) -> StatsAnswer:
        """What the index holds."""
        return self._call(StatsAnswer, "GET", "/v1/stats")

    def make_map(self) -> MapState:
        """Begin to make a map of the objects, unless there is one of the index as it is now."""
        return self._call(MapState, "POST", "/v1/map")

    def map_state(self) -> MapState:
        """Whether there is a map, and how far the one is that is being made."""
        return self._call(MapState, "GET", "/v1/map/state")

    def map(self) -> ObjectMap:
        """The map of the objects."""
        return unpack_map(self._send("GET", "/v1/map").content)

    def ingest(self, request: IngestRequest) -> IngestState:
        """Begin an ingest; needs a key of the scope ingest."""
        return self._call(IngestState, "POST", "/v1/ingest", request)

    def reembed(self, request: ReembedRequest) -> IngestState:
        """Begin to re-embed all stored masks; needs a key of the scope ingest."""
        return self._call(IngestState, "POST", "/v1/ingest/reembed", request)

    def ingest_state(self) -> IngestState:
        """The progress of the ingest."""
        return self._call(IngestState, "GET", "/v1/ingest")

    def cancel_ingest(self) -> IngestState:
        """End the ingest; what it has finished is kept."""
        return self._call(IngestState, "DELETE", "/v1/ingest")

    def ingest_events(self) -> Iterator[IngestState]:
        """The state of ingests whenever it changes, for ever."""
        try:
            with self._http.stream("GET", "/v1/ingest/events") as response:
                if response.is_error:
                    response.read()
                    raise self._refusal(response)
                for line in response.iter_lines():
                    if line.startswith(_EVENT):
                        yield IngestState.model_validate_json(line.removeprefix(_EVENT))
        except httpx.HTTPError as exc:
            raise self._unavailable(exc) from exc

    def _wait_longer(self, read_s: float) -> httpx.Timeout:
        """The usual limits, but at least so long for an answer."""
        usual = self._http.timeout
        read = None if usual.read is None else max(usual.read, read_s)
        return httpx.Timeout(connect=usual.connect, read=read, write=usual.write, pool=usual.pool)

    def _call(
        self,
        kind: type[_Answer],
        method: str,
        path: str,
        body: BaseModel | None = None,
        **more: Any,
    ) -> _Answer:
        if body is not None:
            more["content"] = body.model_dump_json(exclude_unset=True)
            more["headers"] = {"Content-Type": "application/json"}
        return kind.model_validate_json(self._send(method, path, **more).content)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._check(self._request(method, path, **more))

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except httpx.HTTPError as exc:
            raise self._unavailable(exc) from exc

    def _check(self, response: httpx.Response) -> httpx.Response:
        if response.is_error:
            raise self._refusal(response)
        return response

    def _unavailable(self, error: httpx.HTTPError) -> ServiceUnavailableError:
        reason = str(error) or type(error).__name__
        return ServiceUnavailableError(f"the service at {self._url} does not answer: {reason}")

    def _refusal(self, response: httpx.Response) -> UsageError | ServiceError:
        try:
            sentence = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            sentence = f"it answered {response.status_code}"
        status = response.status_code
        if status in _USAGE_STATUSES:
            return UsageError(sentence)
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            return ServiceUnavailableError(f"the service at {self._url} is unavailable: {sentence}")
        return ServiceError(f"the service at {self._url} refused ({status}): {sentence}")
