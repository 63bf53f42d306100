"""What `perceptd page` answers, for a house that is made up."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.fakes import page_data, page_media

FOLLOW_EVERY_S = 0.2
# Where nothing is promised of the time; only a failure takes so long.
WAIT_S = 60.0


class PageApi:
    """A house and who looks at it. `posts` are the requests that changed something: path and body.

    `news` are events that are told next, one with each message.
    """

    def __init__(self, *, role: str | None = "owner", mark: str = "", is_writable: bool = True) -> None:
        self.role = role
        self.login = "password"
        self.mark = mark
        self.is_writable = is_writable
        self.is_down = False
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.events = page_data.events(mark)
        self.examples = page_data.examples(mark)
        self.news: list[dict[str, Any]] = []
        self.config = page_data.CONFIG
        # what every event plays in place of a made-up film
        self.film: bytes | None = None
        self.began = time.monotonic()
        # requests for pictures that are answered now, by stream, and the most of them at once
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self._followers = 0
        self._era = 0
        self._changed = threading.Condition()

    def end_followers(self) -> None:
        """End each stream of messages, as a network that breaks does."""
        self._era += 1

    def wait_until_followed_by(self, count: int) -> None:
        """Wait until so many browsers follow."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._followers == count, WAIT_S)

    def wait_for_posts(self, count: int) -> None:
        """Wait until something was changed so often."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.posts) >= count, WAIT_S)

    def picture(self, stream: str, after: int) -> bytes:
        """Return the next picture of a stream."""
        with self._changed:
            self.at_once[stream] += 1
            self.most_at_once[stream] = max(self.at_once[stream], self.most_at_once[stream])
        time.sleep(FOLLOW_EVERY_S)
        with self._changed:
            self.at_once[stream] -= 1
        return page_media.jpeg(page_media.scene(stream, after / 10))

    def follow(self) -> Iterator[str]:
        """Yield messages as server-sent events."""
        era = self._era
        self._count(1)
        try:
            while era == self._era:
                yield self._messages()
                time.sleep(FOLLOW_EVERY_S)
        finally:
            self._count(-1)

    def _count(self, step: int) -> None:
        with self._changed:
            self._followers += step
            self._changed.notify_all()

    def _messages(self) -> str:
        if self.is_down:
            return 'event: down\ndata: {"reason": "the daemon does not answer"}\n\n'
        scores = [json.dumps(self._scores(stream)) for stream in ("yard", "kitchen")]
        kept = [json.dumps({"kind": "kept", "event": self.news.pop(0)}) for _ in self.news[:1]]
        return "".join(f"data: {each}\n\n" for each in [*scores, *kept])

    def _scores(self, stream: str) -> dict[str, Any]:
        at = time.monotonic() - self.began + (4 if stream == "yard" else 0)
        wave = [0.5 + 0.45 * math.sin(at / 3 + phase) for phase in range(5)]
        names = ["dog" + self.mark, "speech", "car", "none", "kettle boils" + self.mark]
        labels = [
            {"label": name, "score": score**2, "shares": {"image": 1.2 - score, "audio": 2 * score}}
            for name, score in zip(names, wave, strict=True)
        ]
        labels.sort(key=lambda label: -label["score"])
        gates = {"motion": wave[0] > 0.4, "sound": wave[1] > 0.3}
        told = {"time": page_data.iso(page_data.DAY), "labels": labels, "level_db": -62 + 40 * wave[2], "gates": gates}
        return {"kind": "scores", "stream": stream, **told}

    def get(self, path: list[str], query: dict[str, str]) -> Any:
        """Return the JSON of a GET, bytes with their type, or raise KeyError."""
        match path:
            case ["describe"]:
                return page_data.describe(self.mark)
            case ["topics"]:
                return {"topics": page_data.topics(self.mark)}
            case ["days"]:
                return self._days()
            case ["events"]:
                return self._list(query)
            case ["events", event]:
                return {"event": self._event(event)}
            case ["events", event, "snapshot.jpg"]:
                return "image/jpeg", page_media.jpeg(page_media.scene(self._event(event)["stream"], int(event, 16)))
            case ["events", event, "play.mp4" | "clip.mp4"]:
                return "video/mp4", self.film or page_media.clip()
            case ["events", _, "spectrogram.png"]:
                return "image/png", page_media.spectrogram()
            case ["examples", example, "picture.jpg"]:
                return "image/jpeg", page_media.jpeg(page_media.scene("kitchen", int(example, 16)))
            case ["examples", _, "sound.wav"]:
                return "audio/wav", page_media.wav()
            case ["log"]:
                after = int(query.get("after", 0))
                return {"lines": [line for line in page_data.log(self.mark) if line["number"] > after]}
            case ["config"]:
                problem = {"line": 8, "text": "streams.yard.camera: no password" + self.mark}
                shown = {"path": "/etc/perceptd/config.yaml", "text": self.config, "problems": [problem]}
                return {**shown, "writable": self.is_writable}
        raise KeyError(path)

    def post(self, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and JSON of a POST."""
        with self._changed:
            self.posts.append(("/".join(path), body))
            self._changed.notify_all()
        match path:
            case ["login"]:
                if body.get("password") != "right":
                    return 401, {"reason": "the password is wrong", "login": self.login}
                self.role = "owner"
                return 204, None
            case ["logout"]:
                self.role = None
                return 204, None
            case ["events", event, "judge"]:
                self._event(event).update(verdict=body["answer"], was=body.get("label"))
                return 200, {"text": f"{body['answer']}: noted, and taught" + self.mark}
            case ["events", event, "keep"]:
                self._event(event)["kept"] = body["on"]
                return 200, {}
            case ["events", event, "delete"]:
                self.events.remove(self._event(event))
                return 200, {}
            case ["command", name]:
                return 200, self._command(name, body)
            case ["config"] if "streams:" not in body["text"]:
                problem = {"line": 2, "text": "streams: is missing" + self.mark}
                return 422, {"reason": "the config has problems", "problems": [problem]}
            case ["config"]:
                if body.get("confirm"):
                    self.config = body["text"]
                return 200, {"problems": [], "backup": "config.yaml.1"}
            case ["reload"]:
                return 200, {}
            case ["doctor"]:
                return 200, {"report": {"exit_code": 2, "findings": page_data.findings(self.mark)}}
        return 404, {"reason": "there is no such page"}

    def _command(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] | None = None
        if name == "teach_list":
            result = {"examples": self.examples, "left_out": 0}
        elif name == "teach_report":
            result = page_data.report(self.mark)
        elif name == "teach":
            result = {"example": "3f" * 16, "label": body["label"], "moments": 9, "senses": ["image", "audio"]}
        elif name == "teach_remove":
            self.examples = [each for each in self.examples if each["id"] != body["example"]]
        elif name == "teach_undo":
            result = {"undone": "the example of gate creaks" + self.mark}
        is_refused = name == "models_rollback"
        reason = "no bundle before is here" + self.mark if is_refused else None
        return {"command": name, "ok": not is_refused, "reason": reason, "result": result}

    def _event(self, event: str) -> dict[str, Any]:
        return next(each for each in self.events if each["id"] == event)

    def _days(self) -> dict[str, Any]:
        days = sorted({event["started"][:10] for event in self.events}, reverse=True)
        counts = [{"day": day, "events": sum(_is_of(event, day) for event in self.events), "kept": 0} for day in days]
        labels = sorted({event["label"] for event in self.events})
        usage = {"bytes": 418_000_000, "quota_bytes": 2_000_000_000}
        return {"days": counts, "streams": ["yard", "kitchen"], "labels": labels, **usage}

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        before = int(query.get("before", 10**9))
        limit = int(query.get("limit", 50))
        fitting = [
            event
            for event in self.events
            if event["number"] < before
            and _is_of(event, query.get("day", ""))
            and query.get("stream", event["stream"]) == event["stream"]
            and query.get("label", event["label"]) == event["label"]
        ]
        return {"events": fitting[:limit], "more": len(fitting) > limit}


def _is_of(event: dict[str, Any], day: str) -> bool:
    return str(event["started"]).startswith(day)
