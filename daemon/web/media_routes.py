"""Pictures, clips and sounds, which come from the daemon as open files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bottle import HTTPResponse

from daemon.history.playback import needs_rendering
from daemon.web.answers import Problem, empty_answer, file_answer, json_answer, number, queries
from daemon.web.application import Route
from daemon.web.daemon_link import Daemon
from daemon.web.login import Visitor
from daemon.web.renderings import RETRY_AFTER_S, Failed, Kind, Renderings, Unfinished
from daemon.web.routes import EVENT

# what may be shown as it comes; everything else is a download without a type
SHOWN_TYPES = ("image/jpeg", "image/png", "video/mp4", "audio/wav", "audio/x-wav")
OTHER_TYPE = "application/octet-stream"

FILM_TYPE = "video/mp4"
SPECTROGRAM_TYPE = "image/png"


class MediaRoutes:
    """Everything that is seen and heard."""

    def __init__(self, daemon: Daemon, renderings: Renderings) -> None:
        self._daemon = daemon
        self._renderings = renderings

    def routes(self) -> Iterator[Route]:
        """Yield the routes."""
        yield Route("GET", "/api/picture/<stream>", "viewer", self._picture)
        for name, handler in (
            ("snapshot.jpg", self._snapshot),
            ("clip.mp4", self._clip),
            ("play.mp4", self._play),
            ("spectrogram.png", self._spectrogram),
        ):
            yield Route("GET", f"/api/events/{EVENT}/{name}", "viewer", handler, refused=404)
        yield Route("POST", f"/api/events/{EVENT}/delete", "owner", self._delete, refused=404)
        yield Route("GET", "/api/examples/<example>/picture.jpg", "viewer", self._example_picture, refused=404)
        yield Route("GET", "/api/examples/<example>/sound.wav", "viewer", self._example_sound, refused=404)

    def _picture(self, _visitor: Visitor, stream: str) -> HTTPResponse:
        asked = queries()
        wanted: dict[str, Any] = {"after": number(asked.get("after"), "after") or 0}
        if (width := number(asked.get("width"), "width")) is not None:
            wanted["width"] = width
        answer = self._daemon.ask("picture", stream=stream, **wanted)
        if answer.descriptor is None:
            return empty_answer(204)
        headers = {
            "X-Sequence": str(answer.result.get("sequence", 0)),
            "X-Time": str(answer.result.get("time", "")),
            "Cache-Control": "no-store",
        }
        return file_answer(answer.descriptor, "image/jpeg", headers)

    def _snapshot(self, _visitor: Visitor, event: str) -> HTTPResponse:
        name = _download(event, "jpg")
        return file_answer(*self._open("history_file", event=event, file="snapshot"), name=name)

    def _clip(self, _visitor: Visitor, event: str) -> HTTPResponse:
        name = _download(event, "mp4")
        return file_answer(*self._open("history_file", event=event, file="clip"), name=name)

    def _play(self, _visitor: Visitor, event: str) -> HTTPResponse:
        shown = self._daemon.ask("history_show", event=event).result.get("event") or {}
        clip = shown.get("clip") or {}
        if not needs_rendering(clip.get("video")):
            return self._clip(_visitor, event)
        return file_answer(self._rendering(event, "film"), FILM_TYPE)

    def _spectrogram(self, _visitor: Visitor, event: str) -> HTTPResponse:
        return file_answer(self._rendering(event, "spectrogram"), SPECTROGRAM_TYPE)

    def _delete(self, _visitor: Visitor, event: str) -> HTTPResponse:
        deleted = self._daemon.ask("history_delete", event=event).result
        self._renderings.forget(event)
        return json_answer(deleted)

    def _example_picture(self, _visitor: Visitor, example: str) -> HTTPResponse:
        return file_answer(*self._open("example_file", example=example, file="picture"))

    def _example_sound(self, _visitor: Visitor, example: str) -> HTTPResponse:
        return file_answer(*self._open("example_file", example=example, file="sound"))

    def _rendering(self, event: str, kind: Kind) -> int:
        """Return what is made of a clip. The daemon is asked each time, so that a deleted clip is not shown."""
        with self._opened_clip(event) as clip:
            try:
                return self._renderings.get((event, os.fstat(clip).st_size, kind), clip)
            except Unfinished as unfinished:
                headers = {"Retry-After": str(RETRY_AFTER_S)}
                raise Problem(202, "it is being made; ask again", headers) from unfinished
            except Failed as failed:
                raise Problem(409, f"it cannot be made: {failed}") from failed

    @contextmanager
    def _opened_clip(self, event: str) -> Iterator[int]:
        descriptor, _ = self._open("history_file", event=event, file="clip")
        with os.fdopen(descriptor, "rb"):
            yield descriptor

    def _open(self, do: str, **wanted: Any) -> tuple[int, str]:
        answer = self._daemon.ask(do, **wanted)
        if answer.descriptor is None:
            raise Problem(404, "there is no such file")
        media_type = str(answer.result.get("media_type"))
        return answer.descriptor, media_type if media_type in SHOWN_TYPES else OTHER_TYPE


def _download(event: str, ending: str) -> str | None:
    """Return the name of a file to save, where the request asks for one. Raises Problem, so no file may be open yet."""
    return f"perceptd-{event}.{ending}" if queries().get("download") else None
