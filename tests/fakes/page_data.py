"""What a plausible house tells its page. `mark` is added to every text that comes from outside the program."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.docs.pages import block

Json = dict[str, Any]

# a mark that becomes a part of the page where a text is taken for HTML
SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

DAY = datetime(2026, 1, 31, 18, 20, 4, 300110, tzinfo=timezone.utc)
REASON = "camera rtsp://192.168.1.21: nothing came for 10 s; check its power and network"
BUNDLE = "home@1.0.0+taught.3"
CONFIG = """# The config of this house.
node: house
bundle: models/home

streams:
  yard:
    name: Yard
    camera: rtsp://192.168.1.21/stream
  kitchen:
    camera: 0
    microphone: default

health:
  every_s: 30.0
"""


def iso(time: datetime) -> str:
    """Return a time as payloads have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def documented(beginning: str) -> Json:
    """Return the payload of docs/mqtt.md that begins so."""
    payload: Json = json.loads(block("mqtt.md", beginning))
    return payload


def describe(mark: str) -> Json:
    """Return the answer to `describe`."""
    stream = {"sound": True, "text": False, "view_of": None, "rotate": 0, "camera": True}
    stream["region"] = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
    yard = {
        "name": "Yard" + mark,
        "area": "Garden",
        "labels": ["dog" + mark, "speech", "car"],
        "taught": ["gate creaks"],
    }
    yard |= {"gates": {"motion": True, "sound": True}, "groups": {"garage": ["garage: open"]}}
    yard["masks"] = [[[0.0, 0.0], [0.34, 0.0], [0.3, 0.22], [0.0, 0.26]]]
    kitchen = {"name": None, "area": None, "labels": ["dog" + mark, "speech"], "taught": ["kettle boils" + mark]}
    kitchen |= {"gates": {"motion": False, "sound": False}, "groups": {}, "masks": []}
    return {
        "node": "house",
        "version": "0.9.0",
        "bundle": BUNDLE,
        "time": iso(DAY),
        "streams": {"yard": {**stream, **yard}, "kitchen": {**stream, **kitchen}},
        "history": {"quota_mb": 2000.0},
        "language": "en",
        "background": ["none"],
        "label_names": {"dog": "Dog", "speech": "Speech"},
    }


def health(mark: str) -> Json:
    """Return the payload of the topic `health`: the camera of the yard is away."""
    payload = documented('{"schema":1,"node":"demo","instance"')
    (stream,) = payload["streams"].values()
    source = {**stream["sources"]["camera"], "reason": REASON + mark}
    healthy = {**source, "state": "healthy", "reason": None}
    kitchen = {**stream, "available": True, "sources": {"camera": healthy, "microphone": healthy}}
    payload["streams"] = {"yard": {**stream, "sources": {"camera": source}}, "kitchen": kitchen}
    history: Json = {"enabled": True, "events": 312, "bytes": 418_000_000, "quota_bytes": 2_000_000_000}
    return {
        **payload,
        "node": "house",
        "bundle": BUNDLE,
        "history": {**history, "ring_bytes": 0, "dropped": {}, "problem": None},
    }


def teaching(mark: str) -> Json:
    """Return the payload of the topic `teaching`: a label that is ready, one that waits, and a state."""
    payload = documented('{"schema":1,"node":"demo","time":"2026-01-31T12:00:04.300110Z","enabled"')
    ready, learning = payload["labels"]
    ready |= {"label": ready["label"] + mark, "warnings": [warning + mark for warning in ready["warnings"]]}
    state = {"label": "garage: open", "state_of": "garage", "presses": 3, "state": "fitting", "text": "3 presses"}
    payload["labels"].append({**learning, **state})
    payload["question"]["text"] += mark
    return payload


def topics(mark: str) -> Json:
    """Return the latest retained payloads, by topic."""
    status = documented('{"schema":1,"node":"demo","status"')
    models = documented('{"schema":1,"node":"demo","time":"2026-01-31T12:00:10.000000Z","source"')
    label = "dog" + mark
    garage = {"garage": {"state": "open" + mark, "score": 0.93, "since": iso(DAY)}}
    nothing = {"schema": 1, "label": None, "score": None, "since": iso(DAY), "open": []}
    return {
        "health": health(mark),
        "status": {**status, "bundle": BUNDLE, "reason": REASON + mark},
        "models": {**models, "previous": {**models["active"], "id": "digits@0.3.0"}},
        "teaching": teaching(mark),
        "yard/state": {**nothing, "label": label, "score": 0.93, "open": [label]},
        "yard/states": {"schema": 1, "states": garage},
        "kitchen/state": nothing,
    }


def events(mark: str) -> list[Json]:
    """Return kept events, newest first: with picture and clip, without clip, without picture, and one going on."""
    kinds: list[tuple[str, Json]] = [
        ("dog" + mark, {"image": 0.24, "audio": 0.76}),
        ("speech", {"audio": 1.0}),
        ("car", {"image": 0.8, "audio": 0.2}),
        ("kettle boils" + mark, {"image": 0.1, "audio": 0.9}),
        ("glass breaks", {"audio": 1.0}),
    ]
    return [_event(number, *kinds[number % len(kinds)]) for number in range(60, 0, -1)]


def _event(number: int, label: str, shares: Json) -> Json:
    started = DAY - timedelta(minutes=37 * (60 - number))
    has_ended = number != 60
    clip = {"bytes": 412_000, "video": "h264", "audio": "aac", "duration_s": 6.0, "is_cut": False}
    clip["begins"] = iso(started - timedelta(seconds=1.6))
    return {
        "id": f"{number:032x}",
        "number": number,
        "stream": "yard" if number % 2 else "kitchen",
        "label": label,
        "bundle": BUNDLE,
        "started": iso(started),
        "ended": iso(started + timedelta(seconds=3.2)) if has_ended else None,
        "ended_by": "absent" if has_ended else None,
        "peak": round(0.99 - number % 7 * 0.04, 2),
        "peak_time": iso(started + timedelta(seconds=1)),
        "shares": shares,
        "kept": number == 58,
        "verdict": {57: "wrong", 56: "right", 55: "was"}.get(number),
        "was": "car" if number == 55 else None,
        "snapshot": None if number % 5 == 4 else {"bytes": 30_000},
        "clip": clip if has_ended and number % 11 else None,
    }


def examples(mark: str) -> list[Json]:
    """Return the examples of the answer to `teach_list`; one has no picture."""
    labels = ["kettle boils" + mark] * 5 + ["gate creaks"] * 2
    shared = {"stream": "kitchen", "origin": "press", "sound": True}
    return [
        {**shared, "id": f"{number:032x}", "label": label, "time": iso(DAY), "picture": number != 1}
        for number, label in enumerate(labels)
    ]


def report(mark: str) -> Json:
    """Return the answer to `teach_report`: one label of two was taken for the other."""
    rate = {"expected": 0.4, "low": 0.1, "high": 1.2, "hours": 26.5}
    kettle = {"label": "kettle boils" + mark, "presses": 5, "found": 4, "tried": 5, "false_alarms_a_day": rate}
    kettle["confused_with"] = [{"label": "tap runs", "presses": 1}]
    tap = {"label": "tap runs", "presses": 3, "found": 3, "tried": 3, "false_alarms_a_day": None, "confused_with": []}
    text = ["kettle boils: 5 presses, heard in 4 of 5 that were held out." + mark, "  missed: press 7a45b662"]
    return {"report": {"labels": [kettle, tap], "notes": []}, "text": text}


def findings(mark: str) -> list[Json]:
    """Return what a doctor run finds."""
    texts = [
        ("python", "good", "Python 3.12 with all libraries", None),
        ("clock", "warning", "the clock is not synchronised" + mark, "turn on systemd-timesyncd"),
        ("sources", "failure", REASON, "see docs/sources.md"),
    ]
    return [{"check": check, "level": level, "found": found, "remedy": remedy} for check, level, found, remedy in texts]


def log(mark: str) -> list[Json]:
    """Return lines of a log."""
    texts = [
        ("INFO", "node", "house starts"),
        ("WARNING", "supervisor", REASON + mark),
        ("ERROR", "session", "refused"),
    ]
    lines = [{"time": iso(DAY), "level": level, "module": module, "text": text} for level, module, text in texts * 8]
    return [{"number": number, **line} for number, line in enumerate(lines, start=1)]
