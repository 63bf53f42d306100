"""The files of the page itself: those that lie in `static` and `vendor` when the process starts, and no other."""

from pathlib import Path

from bottle import HTTPResponse, request

from daemon.web.answers import Problem, empty_answer

FOLDERS = ("static", "vendor")
INDEX = "static/index.html"

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
OTHER_TYPE = "text/plain; charset=utf-8"


class StaticFiles:
    """Serves files by their names in a table, so that no name leads elsewhere."""

    def __init__(self, base: Path = Path(__file__).parent) -> None:
        self._files = {
            path.relative_to(base).as_posix(): path
            for folder in FOLDERS
            for path in (base / folder).rglob("*")
            if path.is_file()
        }

    def answer(self, name: str) -> HTTPResponse:
        """Return a file. The browser asks each time whether it has changed. Raises Problem."""
        path = self._files.get(name)
        if path is None:
            raise Problem(404, "there is no such file")
        status = path.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.environ.get("HTTP_IF_NONE_MATCH") == tag:
            return empty_answer(304, headers)
        headers["Content-Type"] = MEDIA_TYPES.get(path.suffix, OTHER_TYPE)
        return HTTPResponse(path.read_bytes(), 200, headers)
