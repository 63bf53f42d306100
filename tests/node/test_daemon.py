"""The daemon from end to end: a real process, a real broker, real files."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Heard, Mosquitto, Subscriber, wait_until

# the labels that the recording shows, each with its number of frames at 30 a second
BRIGHT_DARK = [("dark", 30), ("bright", 45), ("dark", 30), ("bright", 30)]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("material")
    write_bundle(directory / "bundle")
    write_clip(directory / "clip.mp4", 30)
    return directory


def write_clip(
    path: Path,
    rate_hz: int,
    options: dict[str, str] | None = None,
    passages: Sequence[tuple[str, int]] = BRIGHT_DARK,
) -> None:
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for label, count in passages:
            picture = np.full((48, 64, 3), 250 if label == "bright" else 5, np.uint8)
            for _ in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def config(material: Path, broker: Mosquitto) -> Callable[..., dict]:
    def make(node: str, **replay: object) -> dict:
        return {
            "node": node,
            "bundle": str(material / "bundle"),
            "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
            "streams": {"s": {"replay": {"file": str(material / "clip.mp4"), **replay}}},
        }

    return make


def parsed(heard: list[Heard], kind: str) -> list[dict]:
    return [json.loads(message.payload) for message in heard if message.topic.endswith("/" + kind)]


def stripped(heard: list[Heard]) -> list[tuple[str, dict]]:
    """Return recognitions, events and states without the fields that differ from run to run: ids and wall times."""
    messages = []
    for message in heard:
        kind = message.topic.rpartition("/")[2]
        if kind in ("recognition", "event", "state"):
            payload = json.loads(message.payload)
            messages.append(
                (kind, {k: v for k, v in payload.items() if k not in ("id", "time", "started", "since", "node")})
            )
    return messages


def replayed(settings: dict, directory: Path, broker: Mosquitto) -> list[Heard]:
    """Return all messages of a replay that ends by itself."""
    directory.mkdir()
    base = f"perceptd/{settings['node']}"
    with Subscriber(broker, f"{base}/#") as subscriber:
        with DaemonProcess(settings, directory) as daemon:
            assert daemon.wait(60) == 0
        subscriber.wait_offline(settings["node"])
        return subscriber.heard


def test_a_replay_as_fast_as_possible_ends_by_itself_and_gives_the_same_messages_every_time(
    tmp_path: Path, broker: Mosquitto, config: Callable[..., dict]
) -> None:
    runs = [replayed(config(name, loop=False, pace="fast"), tmp_path / name, broker) for name in ("first", "second")]
    first, second = (stripped(run) for run in runs)
    assert first == second
    recognitions = [payload for kind, payload in first if kind == "recognition"]
    assert len(recognitions) == sum(count for _, count in BRIGHT_DARK)
    events = [payload for kind, payload in first if kind == "event" and payload["phase"] != "update"]
    assert [(event["label"], event["phase"]) for event in events] == [
        *(("dark", "start"), ("dark", "end"), ("bright", "start"), ("bright", "end")),
        *(("dark", "start"), ("dark", "end"), ("bright", "start"), ("bright", "end")),
    ]
    health = parsed(runs[0], "health")[-1]
    assert health["streams"]["s"]["inputs"]["image"] == {"captured": 135, "encoded": 135, "dropped": {}}
    assert health["streams"]["s"]["sources"]["replay"]["state"] == "ended"


@pytest.mark.parametrize("pace", ["fast", "realtime"])
@pytest.mark.parametrize(("options", "is_played"), [({"movflags": "faststart"}, True), ({}, False)])
def test_a_recording_that_is_cut_off_ends_the_daemon_with_exit_code_65(
    tmp_path: Path, broker: Mosquitto, config: Callable[..., dict], pace: str, options: dict[str, str], is_played: bool
) -> None:
    """Where the index is at the end of the file, it is lost with it."""
    write_clip(tmp_path / "clip.mp4", 300, options)
    content = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 4 // 5])
    settings = config(f"cut_{pace}", file=str(tmp_path / "cut.mp4"), loop=False, pace=pace)
    with Subscriber(broker, f"perceptd/{settings['node']}/#") as subscriber:
        with DaemonProcess(settings, tmp_path) as daemon:
            assert daemon.wait(60) == 65
        assert "cut.mp4: the file is cut off: its last part is incomplete" in daemon.log
        assert "Traceback" not in daemon.log
        if not is_played:
            # the daemon ends at once: on a busy machine before it is connected to the broker
            assert "s/replay: delivers" not in daemon.log
            return
        subscriber.wait_offline(settings["node"])
        health = parsed(subscriber.heard, "health")[-1]["streams"]["s"]
    assert health["sources"]["replay"]["state"] == "ended"
    assert health["inputs"]["image"]["captured"] > 60


def test_a_live_replay_publishes_recognitions_with_shares_and_ends_its_events_at_the_stop(
    tmp_path: Path, broker: Mosquitto, config: Callable[..., dict]
) -> None:
    # its last label lasts, so an event is open whenever the daemon is stopped
    write_clip(tmp_path / "clip.mp4", 30, passages=[("dark", 30), ("bright", 3_600)])
    settings = config("live", file=str(tmp_path / "clip.mp4"))
    # on a busy machine seconds may pass between two pictures
    settings["streams"]["s"]["events"] = {"thresholds": {"bright": {"start": 0.9, "end": 1e-9}}}
    with Subscriber(broker, "perceptd/live/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        started = {"bright", "dark"}
        wait_until(
            lambda: started <= {e["label"] for e in parsed(subscriber.heard, "event") if e["phase"] == "start"},
            "events of both labels",
        )
        subscriber.wait_for("perceptd/live/health")
        wait_until(lambda: parsed(subscriber.heard, "health")[-1]["mqtt"]["connected"], "health with a broker")
        assert daemon.stop() == 0
        subscriber.wait_offline("live")
        for recognition in parsed(subscriber.heard, "recognition"):
            best = recognition["labels"][0]
            assert best["label"] == recognition["label"]
            assert best["bias"] + sum(best["shares"].values()) == pytest.approx(best["logit"], abs=1e-3)
            assert set(best["shares"]) == set(recognition["modalities"]) == {"image"}
        ends = [event for event in parsed(subscriber.heard, "event") if event["phase"] == "end"]
        starts = [event for event in parsed(subscriber.heard, "event") if event["phase"] == "start"]
        assert {event["id"] for event in ends} == {event["id"] for event in starts}
        assert ends[-1]["ended_by"] == "stopped"
        assert parsed(subscriber.heard, "state")[-1]["label"] is None
        assert parsed(subscriber.heard, "health")[-1]["streams"]["s"]["sources"]["replay"]["state"] == "stopped"


def test_it_runs_without_a_broker_and_counts_the_messages_dropped_meanwhile(
    tmp_path: Path, config: Callable[..., dict]
) -> None:
    late = Mosquitto()
    settings = config("patient")
    settings["mqtt"]["port"] = late.port
    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: "s/replay: delivers" in daemon.log, "the replay delivers")
        with late, Subscriber(late, "perceptd/patient/#") as subscriber:
            wait_until(lambda: subscriber.payloads("perceptd/patient/availability") == [b"online"], "online")
            wait_until(lambda: parsed(subscriber.heard, "recognition"), "recognitions")
            subscriber.wait_for("perceptd/patient/health")
            wait_until(
                lambda: parsed(subscriber.heard, "health")[-1]["mqtt"]["dropped"].get("recognition_not_connected"),
                "dropped messages are counted",
            )
            assert daemon.stop() == 0


def test_a_missing_camera_does_not_stop_other_streams(
    tmp_path: Path, broker: Mosquitto, config: Callable[..., dict]
) -> None:
    settings = config("partly")
    settings["streams"]["gone"] = {"camera": {"device": "rtsp://me:s3cret@127.0.0.1:9/cam"}}
    with Subscriber(broker, "perceptd/partly/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: parsed(subscriber.heard, "recognition"), "the other stream recognises")

        def is_told() -> bool:
            health = parsed(subscriber.heard, "health")[-1]
            camera = health["streams"]["gone"]["sources"]["camera"]
            return (
                camera["failures"] >= 2 and health["status"] == "degraded" and "127.0.0.1" in (camera["reason"] or "")
            )

        subscriber.wait_for("perceptd/partly/health")
        wait_until(is_told, "it is tried again, and health says what is missing")
        assert daemon.stop() == 0
        subscriber.wait_offline("partly")
        assert "s3cret" not in daemon.log
        assert not any(b"s3cret" in message.payload for message in subscriber.heard)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nod": "x"}, "nod: unknown key; did you mean 'node'?"),
        ({"bundle": "/nowhere"}, "/nowhere: no such directory; expected a bundle there"),
        ({"log_level": 3}, "log_level = 3: expected 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_with_exit_code_78(
    tmp_path: Path, config: Callable[..., dict], changes: dict, expected: str
) -> None:
    with DaemonProcess({**config("refused"), **changes}, tmp_path) as daemon:
        assert daemon.wait(60) == 78
        assert expected in daemon.log
        assert "Traceback" not in daemon.log


def test_it_can_be_stopped_while_it_starts(tmp_path: Path, config: Callable[..., dict]) -> None:
    with DaemonProcess(config("early"), tmp_path) as daemon:
        caught = Path(f"/proc/{daemon.process.pid}/status")

        def catches_sigterm() -> bool:
            mask = next(line for line in caught.read_text().splitlines() if line.startswith("SigCgt:"))
            return bool(int(mask.split()[1], 16) & 1 << (signal.SIGTERM - 1))

        wait_until(catches_sigterm, "SIGTERM is caught")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log


def test_an_unknown_command_is_refused() -> None:
    command = [sys.executable, "-m", "daemon", "rnu"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "invalid choice: 'rnu'" in result.stderr
