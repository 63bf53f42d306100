"""The demo of scripts/run: what it runs, what it prints, and its summary."""

import json
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from demo_config import name_broker, ready_bundle, takes_text, write_config, write_shipped
from demo_summary import event_lines

from daemon.config.node import load_config
from daemon.core.errors import Refused
from daemon.mqtt.payloads import EventPayload
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.clips import write_clip

TIME = "2026-01-31T12:00:00.000001Z"
ROOT = Path(__file__).parents[2]


def logged_in(printed: str) -> dict[str, object]:
    """Follow the link that the demo has printed; return who may do what there, and what the node says of itself."""
    link = re.search(r"in a browser, within ten minutes: (http://localhost:\d+/)(link/\S+)", printed)
    assert link is not None, printed
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    browser.open(link[1] + link[2], timeout=60).close()
    session, node = (json.load(browser.open(f"{link[1]}api/{what}", timeout=60)) for what in ("session", "describe"))
    return {"role": session["role"], "node": node["node"], "history": node["history"] is not None}


def test_the_shipped_config_is_run_with_a_history(tmp_path: Path) -> None:
    config = load_config(write_shipped(tmp_path / "demo.yaml")).document
    assert config.history is not None
    assert config.model_copy(update={"history": None}) == load_config(ROOT / "config.yaml").document


def test_the_config_of_the_demo_names_its_broker_and_can_be_edited_on_the_page(tmp_path: Path) -> None:
    path = write_config(tmp_path / "demo.yaml", tmp_path / "bundle", "rtsp://user:pass@host/x", "camera")
    before = load_config(path).document
    name_broker(path, 12345)
    config = load_config(path).document
    assert (config.mqtt.host, config.mqtt.port) == ("127.0.0.1", 12345)
    assert config.model_copy(update={"mqtt": before.mqtt}) == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "the URL of a camera may contain a password"
    # the page adds a stream below this line
    assert "streams:" in path.read_text().splitlines()


def test_the_demo_prints_what_the_node_publishes_and_a_summary() -> None:
    command = [sys.executable, "scripts/demo.py"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert demo.stdout is not None
        lines = []
        # each pass of the recording has events, and the first comes within its first seconds
        for line in demo.stdout:
            lines.append(line)
            if "Traceback" in line or all(any(each in old for old in lines) for each in ("started", "in a browser")):
                break
        opened = logged_in("".join(lines))
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate()
    finally:
        demo.kill()
        demo.wait()
    printed = "".join(lines) + rest
    assert demo.returncode == 0, printed
    assert "Traceback" not in printed
    assert opened == {"role": "owner", "node": "demo", "history": True}
    assert "is well" in printed
    assert "runs digits@" in printed
    assert "frames captured" in rest
    assert "first recognition: " in rest


def test_the_demo_of_another_bundle_and_a_film_ends_with_the_film_and_counts_the_events_of_labels(
    tmp_path: Path,
) -> None:
    write_bundle(tmp_path / "lamp")
    write_clip(tmp_path / "film.mp4", seconds=1.0, flashes_s=[number / 25 for number in range(25)])
    # as a person types it, in the directory of the film
    options = ["--bundle", "lamp", "--camera", "film.mp4", "--microphone", "camera"]
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "mosquitto_sub -p " in done.stdout, "the bundle takes no text"
    assert "runs brightness@1.2.3" in done.stdout
    assert "▶ bright started" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("bright: ")


@pytest.mark.parametrize(
    ("camera", "microphone", "expected"),
    [
        (None, None, (None, "default", True)),
        (None, "pulse:x", (None, "pulse:x", True)),
        ("0", None, (0, None, True)),
        ("/dev/video0", "2", ("/dev/video0", 2, True)),
        ("rtsp://user:pass@host/x", "camera", ("rtsp://user:pass@host/x", "camera", True)),
        ("film.mp4", "camera", ("{cwd}/film.mp4", "camera", False)),
    ],
)
def test_a_live_device_takes_texts_too_and_a_file_is_played_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, camera: str | None, microphone: str | None, expected: tuple
) -> None:
    (tmp_path / "film.mp4").touch()
    monkeypatch.chdir(tmp_path)
    path = write_config(tmp_path / "demo.yaml", tmp_path / "bundle", camera, microphone)
    config = load_config(path).document
    stream = config.streams["demo"]
    device = stream.camera and stream.camera.device
    sound = stream.microphone and stream.microphone.device
    is_live = stream.text.enabled
    assert (device, sound, is_live) == tuple(
        part.format(cwd=tmp_path) if isinstance(part, str) else part for part in expected
    )
    assert stream.camera is None or stream.camera.loop is is_live
    assert config.bundle == str(tmp_path / "bundle")
    assert config.history is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "the URL of a camera may contain a password"


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^--camera none\.mp4: there is no such file$"):
        write_config(tmp_path / "demo.yaml", tmp_path, "none.mp4", "camera")
    (tmp_path / "bark.ogg").touch()
    with pytest.raises(Refused, match=r"bark\.ogg: is a file; play it by --camera .*bark\.ogg --microphone camera$"):
        write_config(tmp_path / "demo.yaml", tmp_path, None, str(tmp_path / "bark.ogg"))


def test_the_bundle_of_a_directory_or_of_a_shipped_name_is_ready(tmp_path: Path) -> None:
    lamp = write_bundle(tmp_path / "lamp")
    assert ready_bundle(str(lamp), None) == lamp
    assert ready_bundle("digits", None) == ROOT / "models" / "digits"
    with pytest.raises(Refused, match="no bundle of this name"):
        ready_bundle("hose", None)


def test_texts_are_offered_where_bundle_and_stream_take_them(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    film, lamp, digits = str(tmp_path / "film.mp4"), write_bundle(tmp_path / "lamp"), ROOT / "models" / "digits"
    takes = [
        takes_text(load_config(write_config(tmp_path / "demo.yaml", bundle, camera, None)).document)
        for bundle, camera in ((digits, None), (digits, film), (lamp, None))
    ]
    assert takes == [True, False, False]


def event(label: str, seconds: float, peak: float) -> EventPayload:
    of = {"node": "n", "stream": "s", "bundle": "b", "id": label, "time": TIME, "started": TIME}
    return EventPayload(label=label, duration_s=seconds, peak=peak, phase="end", score=0.1, ended_by="absent", **of)


def test_events_are_counted_by_label() -> None:
    assert list(event_lines([])) == ["no events"]
    events = [event("rain", 1.0, 0.5), event("dog", 1.25, 0.875), event("dog\x1b", 1, 1), event("dog", 2.0, 0.75)]
    assert list(event_lines(events)) == [
        "dog: 2 events, 3.2 s in all, the highest score 0.88",
        "dog�: 1 event, 1.0 s in all, the highest score 1.00",
        "rain: 1 event, 1.0 s in all, the highest score 0.50",
    ]
