"""Downloads one file over HTTP: resumable, verified, and moved into place atomically."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from schemas.errors import DownloadError, ModelError
from workers.durable_files import sync

Report = Callable[[int, int | None], None]
"""Called with the bytes so far and in total, None if the server does not say."""

_BLOCK = 1 << 20
_TIMEOUT_S = 30.0


def download(
    url: str, target: Path, *, sha256: str = "", size_bytes: int | None = None, report: Report
) -> None:
    """Download `url` to `target`, continuing `target.partial` if the file has not changed.

    `sha256` may be its first digits only. Nothing is at `target` before the bytes are verified and
    on disk. Of several processes one downloads, the others wait. Raises DownloadError (the bytes so
    far are kept for the next try) and ModelError (wrong content, nothing is kept; or a folder that
    cannot be written).
    """
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock_partial(partial) as file:
            if not target.exists():
                # A process that was killed just before the check has left all bytes.
                if file.seek(0, os.SEEK_END) != size_bytes:
                    _receive(url, file, _validator_path(partial), report)
                _check(url, file, sha256, size_bytes)
                os.replace(partial, target)
                sync(target.parent)
    except OSError as exc:
        raise ModelError(f"{target} cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def _lock_partial(partial: Path) -> Iterator[BufferedRandom]:
    """The partial file, locked for this process; removed afterwards unless it can be resumed."""
    while True:
        with partial.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Its owner may have moved or removed it while this process waited for the lock.
            if not _same_file(file, partial):
                continue
            try:
                yield file
            except ModelError as exc:
                if not isinstance(exc, DownloadError):
                    file.truncate(0)
                raise
            finally:
                file.flush()
                if _same_file(file, partial) and not os.fstat(file.fileno()).st_size:
                    partial.unlink()
                if not partial.exists():
                    _validator_path(partial).unlink(missing_ok=True)
            return


def _same_file(file: BufferedRandom, path: Path) -> bool:
    # One call: between two another process may remove the file.
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _validator_path(partial: Path) -> Path:
    return partial.with_name(partial.name + "-etag")


def _receive(url: str, file: BufferedRandom, validator_path: Path, report: Report) -> None:
    offset = file.seek(0, os.SEEK_END)
    validator = validator_path.read_text() if validator_path.exists() else ""
    response = _open(url, offset if validator else 0, validator)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)
            offset = 0
        validator_path.write_text(_strong_validator(response))
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length else None
        report(offset, total)
        while block := _read(response, url):
            file.write(block)
            offset += len(block)
            report(offset, total)
    file.flush()
    os.fsync(file.fileno())
    if total is not None and offset < total:
        raise DownloadError(f"{url} ended after {offset} of {total} bytes")


def _open(url: str, offset: int, validator: str) -> http.client.HTTPResponse:
    headers = {"User-Agent": "objseek", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as exc:
        exc.close()
        if offset and exc.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open(url, 0, "")
        raise DownloadError(f"{url} answered {exc.code} {exc.reason}") from exc
    except urllib.error.URLError as exc:
        raise DownloadError(f"{url} cannot be reached ({_reason(exc.reason)})") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise DownloadError(f"{url} cannot be reached ({_reason(exc)})") from exc
    return response


def _reason(exc: object) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as exc:
        raise DownloadError(f"{url} broke off ({_reason(exc)})") from exc


def _strong_validator(response: http.client.HTTPResponse) -> str:
    # RFC 9110: If-Range takes no weak entity tag.
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers["Last-Modified"] or ""


def _check(url: str, file: BufferedRandom, sha256: str, size_bytes: int | None) -> None:
    size = file.seek(0, os.SEEK_END)
    if size_bytes is not None and size != size_bytes:
        raise ModelError(f"expected {size_bytes} bytes from {url}, got {size}")
    file.seek(0)
    got = hashlib.file_digest(file, "sha256").hexdigest()
    if not got.startswith(sha256):
        raise ModelError(f"expected sha256 {sha256} from {url}, got {got}")
