"""Real sources of a config, all opened at once, with one finding each."""

import threading
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.node import Config
from daemon.core.errors import NothingUsed, SourceError
from daemon.core.ports import Deliver
from daemon.core.records import Block, Captured, Frame
from daemon.doctor import sources as doctor_sources
from daemon.doctor.finding import Finding
from daemon.doctor.sources import Place, SourceRun, source_findings
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.clips import write_clip
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.helpers.pulse import pulse_server
from tests.helpers.rtsp import rtsp_camera

DIGITS = load_bundle(ROOT / "models" / "digits").manifest


def found(streams: dict[str, object], manifest=DIGITS) -> dict[str, Finding]:
    config = Config.model_validate({"node": "n", "bundle": "b", "streams": streams})
    before = threading.active_count()
    findings = list(source_findings(config, manifest))
    assert threading.active_count() == before, "every source is closed"
    assert len({finding.check for finding in findings}) == len(findings)
    return {finding.check: finding for finding in findings}


def test_each_camera_recording_and_missing_source_has_a_finding(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=20, flashes_s=[1], beeps_s=[1])
    with rtsp_camera("aac", "viewer", "s3cret") as camera:
        findings = found(
            {
                "door": {"camera": camera.url("viewer:s3cret@"), "microphone": "camera"},
                "hall": {"camera": camera.url("viewer:wr0ng@")},
                "yard": {"camera": f"rtsp://u:s3cret@127.0.0.1:{free_port()}/x"},
                "desk": {"camera": "/dev/video77"},
                "file": {"camera": str(clip)},
                "demo": {"replay": {"file": str(clip)}},
                "gone": {"replay": {"file": str(tmp_path / "none.mp4")}},
                "text": {},
            }
        )
    assert {name: finding.level for name, finding in findings.items()} == {
        "door/camera": "good",
        "hall/camera": "failure",
        "yard/camera": "failure",
        "desk/camera": "failure",
        "file/camera": "good",
        "demo/replay": "good",
        "gone/replay": "failure",
        "text": "good",
    }
    assert "pictures of " in findings["door/camera"].found and "sound after" in findings["door/camera"].found
    assert "there is no /dev/video77" in findings["desk/camera"].found
    assert "perceptd devices" in (findings["desk/camera"].remedy or "")
    assert "check the address" in (findings["yard/camera"].remedy or "")
    assert all("s3cret" not in finding.line() and "wr0ng" not in finding.line() for finding in findings.values())
    assert all((finding.remedy is None) == (finding.level == "good") for finding in findings.values())


@pytest.mark.xdist_group("sound")
def test_microphones_of_a_sound_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pulse_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        findings = found({"here": {"microphone": "default"}, "gone": {"microphone": "pulse:nowhere"}})
    assert findings["here/microphone"].level == "good"
    assert findings["here/microphone"].found.startswith("sound after")
    assert findings["gone/microphone"].level == "failure"
    assert "nowhere" in findings["gone/microphone"].found
    assert "perceptd devices" in (findings["gone/microphone"].remedy or "")


def test_a_camera_without_the_expected_sound_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_sources, "DELIVER_S", 2.0)
    with rtsp_camera("none") as camera:
        findings = found({"door": {"camera": camera.url(), "microphone": "camera"}})
    finding = findings["door/camera"]
    assert finding.level == "warning"
    assert "pictures of " in finding.found and "but no sound" in finding.found
    assert "switch sound on" in str(finding.remedy) and "or leave it out" in str(finding.remedy)


def test_a_stream_of_sound_alone_has_no_picture_and_needs_another_address() -> None:
    with rtsp_camera("alone") as camera:
        finding = found({"door": {"camera": camera.url()}})["door/camera"]
    assert (finding.level, finding.found.partition(": ")[2]) == ("failure", "sends no picture")
    assert "a stream with pictures" in str(finding.remedy)


def test_wrong_lines_of_a_replay(tmp_path: Path) -> None:
    lines = tmp_path / "lines.yaml"
    lines.write_text("lines: 3\n")
    finding = found({"demo": {"replay": {"file": str(tmp_path / "a.mp4"), "text": str(lines)}}})["demo"]
    assert finding.level == "failure"
    assert "lines.yaml:1" in finding.found


def test_a_stream_with_nothing_that_the_bundle_uses(tmp_path: Path) -> None:
    sees_only = load_bundle(write_bundle(tmp_path / "bundle")).manifest
    finding = found({"ear": {"microphone": "default"}}, sees_only)["ear"]
    assert (finding.level, finding.found) == ("failure", "captures nothing that the bundle uses")


def test_a_part_of_another_camera_is_not_opened(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5)
    findings = found({"yard": {"camera": str(clip), "text": {}}, "garage": {"camera": "stream:yard"}}, None)
    assert (findings["garage"].level, findings["garage"].found) == ("good", "looks at the camera of yard")
    assert findings["yard/camera"].level == "good"


class Hanging:
    """A source that delivers `first` or nothing until it is stopped, or raises `error`."""

    drift_ppm: float | None = None

    def __init__(self, error: Exception | None = None, first: Captured | None = None) -> None:
        self.error, self._first = error, first
        self.has_delivered = threading.Event()

    def run(self, deliver: Deliver, stop: threading.Event) -> None:
        if self._first is not None:
            deliver(self._first)
            self.has_delivered.set()
        if self.error is not None:
            raise self.error
        stop.wait()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Hanging(), "delivers nothing within 25 s"),
        (Hanging(SourceError("camera 0: is busy")), "camera 0: is busy"),
        (Hanging(ValueError("a fault")), "ValueError: a fault"),
    ],
)
def test_a_source_that_delivers_nothing(source: Hanging, expected: str) -> None:
    run = SourceRun("door/camera", source, frozenset({"pictures"}), "camera")
    run.start()
    if "within" not in expected:
        run.thread.join(60)
        assert run.is_settled
    finding = run.finding()
    assert (finding.level, finding.found) == ("failure", expected)
    run.stop()
    run.thread.join(60)
    assert not run.thread.is_alive()


PICTURE = Frame((np.zeros((8, 8, 3), np.uint8),), 0)
SOUND = Block(np.zeros(160, np.float32), 16_000, 0)


@pytest.mark.parametrize(
    ("place", "source", "remedy"),
    [
        # what is not reached
        ("network", Hanging(SourceError("no answer")), "check the address"),
        ("network", Hanging(SourceError("stopped sending"), PICTURE), "check the address"),
        ("file", Hanging(SourceError("no file")), "check the file"),
        ("microphone", Hanging(SourceError("no server")), "perceptd devices"),
        # what is reached, and lacks something
        ("network", Hanging(NothingUsed("cam", ["audio"])), "switch sound on"),
        ("network", Hanging(NothingUsed("cam", ["audio", "image"])), "a stream with pictures"),
        ("network", Hanging(None, SOUND), "a stream with pictures"),
        ("network", Hanging(None, PICTURE), "switch sound on"),
        ("file", Hanging(None, PICTURE), "take a recording with sound"),
        ("file", Hanging(None, SOUND), "take a recording with pictures"),
        ("camera", Hanging(None, PICTURE), "perceptd devices"),
    ],
)
def test_what_to_do_depends_on_what_was_reached(place: Place, source: Hanging, remedy: str) -> None:
    wanted = source.error.wanted if isinstance(source.error, NothingUsed) else frozenset({"image", "audio"})
    names = {"image": "pictures", "audio": "sound"}
    run = SourceRun("door/camera", source, frozenset(names[each] for each in wanted), place)
    run.start()
    wait_until(lambda: run.is_settled or source.has_delivered.is_set(), "the source")
    assert remedy in str(run.finding().remedy)
    run.stop()
    run.thread.join(5)


@pytest.mark.parametrize(("place", "remedy"), [("camera", "plug it in"), ("network", "restart the camera")])
def test_a_network_camera_that_does_not_close_is_not_to_be_plugged_in(place: Place, remedy: str) -> None:
    assert remedy in doctor_sources.HELD[place]
