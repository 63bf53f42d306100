"""Answers in JSON and from open files, and what requests bring."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from bottle import HTTPResponse, request

from daemon.web.ranges import Unsatisfiable, range_of

CHUNK_BYTES = 64 * 1024
MOST_FIELDS = 20

# WSGI environ: the JSON object of the body
ARGUMENTS = "perceptd.arguments"


class Problem(Exception):
    """A request that is not answered as asked: a status of HTTP, and the reason in words."""

    def __init__(
        self, status: int, reason: str, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}
        # what the answer tells beside the reason
        self.more = more or {}

    def answer(self) -> HTTPResponse:
        """Return the answer."""
        return json_answer({"reason": str(self), **self.more}, self.status, self.headers)


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """Return an answer that nobody stores."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return HTTPResponse(
        body,
        status,
        {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **(headers or {})},
    )


def empty_answer(status: int = 204, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """Return an answer without content."""
    return HTTPResponse(b"", status, {"Cache-Control": "no-store", **(headers or {})})


def arguments() -> dict[str, Any]:
    """Return the JSON object that the present request brings."""
    found: dict[str, Any] = request.environ[ARGUMENTS]
    return found


def read_arguments() -> None:
    """Read the JSON object that the present request brings; an empty body is an empty object. Raises Problem."""
    request.environ[ARGUMENTS] = _object(request.environ["wsgi.input"].read())


def _object(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    # a form of another site cannot send this type
    if request.environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(400, "expected a body of the type application/json")
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "the body is no JSON") from error
    if not isinstance(content, dict):
        raise Problem(400, "the body is no JSON object")
    return content


def queries() -> dict[str, str]:
    """Return what stands behind the question mark. Raises Problem."""
    try:
        return dict(parse_qsl(request.environ.get("QUERY_STRING", ""), max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise Problem(400, "too many parameters") from error


def number(text: str | None, name: str) -> int | None:
    """Return a parameter as a number; None where it is absent. Raises Problem."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Problem(400, f"{name} is no number")
    return int(text)


class FileBody:
    """The bytes of an open file from `start` to `end`, which it closes. An iterator with `close`, as WSGI wants."""

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._at, self._end = start, end

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self._at < self._end:
                chunk = os.pread(self._descriptor, min(CHUNK_BYTES, self._end - self._at), self._at)
                if not chunk:  # the file became shorter; the connection ends too early, which the browser sees
                    return
                self._at += len(chunk)
                yield chunk
        finally:
            # bottle does not close what fails before its first bytes, or has none
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def file_answer(
    descriptor: int, media_type: str, headers: Mapping[str, str] | None = None, *, name: str | None = None
) -> HTTPResponse:
    """Return an open file, or the range of it that the request wants. `name` makes it a download.

    The descriptor is closed with the answer.
    """
    size = os.fstat(descriptor).st_size
    fields = {"Content-Type": media_type, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    fields.update(headers or {})
    if name is not None:
        fields["Content-Disposition"] = f'attachment; filename="{name}"'
    try:
        wanted = range_of(request.environ.get("HTTP_RANGE"), size)
    except Unsatisfiable:
        os.close(descriptor)
        return empty_answer(416, {"Content-Range": f"bytes */{size}"})
    start, end = wanted or (0, size)
    if wanted is not None:
        fields["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    fields["Content-Length"] = str(end - start)
    return HTTPResponse(FileBody(descriptor, start, end), 200 if wanted is None else 206, fields)
