"""Each fault of a source is reported and recovered from, while all other sources go on.

One daemon runs through all faults, with real cameras, a real sound server and a real broker.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.clips import write_clip
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of
from tests.helpers.pulse import PulseServer
from tests.node.faults.restartable import FaultyRtsp, RestartableMjpeg
from tests.node.faults.watched_node import DELIVERS, TROUBLE, WatchedNode

pytestmark = pytest.mark.xdist_group("sound")

# the first test always runs, because it starts the devices of the others
a_part = pytest.mark.campaign("source-faults", part=6)

# promised for every fault; the time stands still while a process waits for a processor
REPORTED_WITHIN_S = 3.0
BACK_WITHIN_S = 2.0

STALL_AFTER_S = 1.5
LOGIN = ("viewer", "s3cret")


@dataclass
class Scene:
    """The daemon and its devices."""

    node: WatchedNode
    daemon: DaemonProcess
    rtsp: FaultyRtsp
    mjpeg: RestartableMjpeg
    sound: PulseServer
    film: Path
    clip: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("scene")
    sound = PulseServer(directory)
    rtsp, mjpeg, film = FaultyRtsp(), RestartableMjpeg(LOGIN), directory / "film.mp4"
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto())
        steady = stack.enter_context(MjpegCamera(fps=15).serving())
        stack.callback(rtsp.kill)
        stack.callback(mjpeg.kill)
        stack.callback(sound.kill)

        def camera(url: str) -> dict:
            return {"device": url, "stall_after_s": STALL_AFTER_S, "fps": 10}

        config = {
            "node": "n",
            "bundle": str(ROOT / "models/digits"),
            "mqtt": {"port": broker.port},
            "health": {"every_s": 1},
            "streams": {
                "front": {"camera": camera(rtsp.url("viewer:s3cret@")), "microphone": "camera"},
                "yard": {"camera": camera(f"http://viewer:s3cret@127.0.0.1:{mjpeg.port}/video")},
                "room": {"microphone": {"device": "default", "stall_after_s": STALL_AFTER_S}},
                "hall": {"camera": {"device": str(film), "fps": 10}},
                "steady": {"camera": camera(f"http://127.0.0.1:{steady.port}/")},
            },
        }
        # the config of the sound server's clients exists before the server does
        (directory / "asound.conf").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        subscriber = stack.enter_context(Subscriber(broker, "perceptd/n/#"))
        daemon = stack.enter_context(DaemonProcess(config, directory, environment=sound.environment))
        node = WatchedNode(subscriber, "n")
        wait_until(lambda: subscriber.payloads("perceptd/n/health"), "health")
        clip = write_clip(directory / "clip.mp4", seconds=2)
        yield Scene(node, daemon, rtsp, mjpeg, sound, film, clip)
        assert daemon.process.poll() is None, "the daemon has survived all faults"
        assert daemon.stop() == 0
        assert "s3cret" not in daemon.log
        assert "Traceback" not in daemon.log


def is_reported(scene: Scene, path: str, word: str) -> Callable[[], bool]:
    def reported() -> bool:
        source = scene.node.source(path)
        return source["state"] in TROUBLE and word in (source["reason"] or "")

    return reported


def is_back(scene: Scene, path: str, modality: str) -> Callable[[], bool]:
    """Return a condition: the source delivers, and has delivered more than it has now."""
    before = scene.node.captured(path, modality)

    def back() -> bool:
        return scene.node.source(path)["state"] in DELIVERS and scene.node.captured(path, modality) > before

    return back


@contextlib.contextmanager
def others_unaffected(scene: Scene, *but: str) -> Iterator[None]:
    """Fail unless the steady camera goes on and no source but those in `but` fails during the block."""
    steady = ("steady/camera", "image")

    def failures() -> dict[str, int]:
        streams = scene.node.health()["streams"]
        named = {f"{s}/{n}": source for s, stream in streams.items() for n, source in stream["sources"].items()}
        return {name: source["failures"] for name, source in named.items() if name not in but}

    before, captured = failures(), scene.node.captured(*steady)
    yield
    scene.node.takes(lambda: scene.node.captured(*steady) > captured, 3, "the steady camera goes on")
    assert failures() == before


@contextlib.contextmanager
def heard(scene: Scene) -> Iterator[None]:
    """Play a tone that the microphone hears: in silence the daemon opens it again by itself, during any test."""
    with scene.sound.playing(440):
        hears = is_back(scene, "room/microphone", "audio")
        wait_until(lambda: hears() and scene.node.source("room/microphone")["state"] == "healthy", "it hears")
        yield


def assert_recovers(
    scene: Scene, path: str, camera: object, fault: str, word: str, begin: Callable, end: Callable
) -> None:
    """Begin and end a fault of a camera; fail unless it is reported with the word, and recovered from."""
    with others_unaffected(scene, path):
        begin(camera)
        scene.node.takes(is_reported(scene, path, word), REPORTED_WITHIN_S, fault)
        back = is_back(scene, path, "image")
        end(camera)
        scene.node.takes(back, BACK_WITHIN_S, f"back after: {fault}")


@pytest.mark.campaign("source-faults")
def test_devices_that_are_missing_at_the_start_are_used_once_they_appear(scene: Scene) -> None:
    absent = {"front/camera": "refused", "yard/camera": "refused", "room/microphone": "", "hall/camera": "No such file"}
    for path, word in absent.items():
        scene.node.takes(is_reported(scene, path, word), REPORTED_WITHIN_S, f"{path} is missing")
    appearances: list[tuple[str, str, Callable[[], None]]] = [
        ("front/camera", "image", lambda: scene.rtsp.start(*LOGIN)),
        ("yard/camera", "image", scene.mjpeg.start),
        ("room/microphone", "audio", scene.sound.start),
        ("hall/camera", "image", lambda: shutil.copy(scene.clip, scene.film) and None),
    ]
    for path, modality, appear in appearances:
        back = is_back(scene, path, modality)
        appear()
        scene.node.takes(back, BACK_WITHIN_S, f"{path} delivers")


RTSP_FAULTS = {
    "killed": ("", lambda c: c.kill(), lambda c: c.start(*LOGIN)),
    "frozen": ("no ", lambda c: c.send(signal.SIGSTOP), lambda c: c.send(signal.SIGCONT)),
    "refused login": (
        "login",
        lambda c: (c.kill(), c.start("viewer", "another")),
        lambda c: (c.kill(), c.start(*LOGIN)),
    ),
    "wrong path": (
        "path",
        lambda c: (c.kill(), c.start(*LOGIN, path="/elsewhere")),
        lambda c: (c.kill(), c.start(*LOGIN)),
    ),
}


@a_part
@pytest.mark.parametrize("fault", RTSP_FAULTS)
def test_an_rtsp_camera_recovers_from_a_fault(scene: Scene, fault: str) -> None:
    assert_recovers(scene, "front/camera", scene.rtsp, fault, *RTSP_FAULTS[fault])


@a_part
def test_an_rtsp_camera_that_changes_its_resolution_goes_on(scene: Scene) -> None:
    with others_unaffected(scene):
        for _ in range(2):
            back = is_back(scene, "front/camera", "image")
            scene.rtsp.send(signal.SIGUSR1)
            scene.node.takes(back, BACK_WITHIN_S, "pictures of another size")


MJPEG_FAULTS = {
    "killed": ("", lambda c: c.kill(), lambda c: c.start()),
    "frozen": (
        "no picture",
        lambda c: setattr(c.camera, "mode", "stall"),
        lambda c: setattr(c.camera, "mode", "ok"),
    ),
    "half images": (
        "no picture",
        lambda c: setattr(c.camera, "mode", "half"),
        lambda c: setattr(c.camera, "mode", "ok"),
    ),
    "refused login": (
        "login",
        lambda c: (c.kill(), c.start(), setattr(c.camera, "login", ("viewer", "other"))),
        lambda c: setattr(c.camera, "login", LOGIN),
    ),
    "wrong path": (
        "path",
        lambda c: (c.kill(), c.start(), setattr(c.camera, "path", "/elsewhere")),
        lambda c: setattr(c.camera, "path", None),
    ),
}


@a_part
@pytest.mark.parametrize("fault", MJPEG_FAULTS)
def test_an_mjpeg_camera_recovers_from_a_fault(scene: Scene, fault: str) -> None:
    assert_recovers(scene, "yard/camera", scene.mjpeg, fault, *MJPEG_FAULTS[fault])


@a_part
def test_an_mjpeg_camera_that_changes_its_resolution_goes_on(scene: Scene) -> None:
    with others_unaffected(scene):
        back = is_back(scene, "yard/camera", "image")
        scene.mjpeg.camera.size = (160, 120)
        scene.node.takes(back, BACK_WITHIN_S, "pictures of another size")


@a_part
def test_the_microphone_recovers_when_the_sound_server_is_restarted(scene: Scene) -> None:
    with others_unaffected(scene, "room/microphone"):
        scene.sound.kill()
        scene.node.takes(is_reported(scene, "room/microphone", ""), REPORTED_WITHIN_S, "the sound server is gone")
        back = is_back(scene, "room/microphone", "audio")
        scene.sound.start()
        scene.node.takes(back, BACK_WITHIN_S, "the sound server is back")


@a_part
def test_a_microphone_replaced_by_the_sound_server_is_reported_and_used(scene: Scene) -> None:
    """When a microphone is removed, the server moves its stream to another source: its default."""
    with heard(scene), others_unaffected(scene, "room/microphone"), scene.sound.microphone("spare"):
        scene.sound.pactl("set-default-source", "spare")
        failures = scene.node.source("room/microphone")["failures"]
        back = is_back(scene, "room/microphone", "audio")
        (child,) = children_of(scene.daemon.process.pid, "microphone")
        os.kill(child, signal.SIGKILL)
        scene.node.takes(lambda: scene.node.source("room/microphone")["failures"] > failures, 3, "killed")
        scene.node.takes(back, BACK_WITHIN_S, "the spare microphone is used")
        removed = scene.sound.pactl("list", "short", "modules")
        number = next(line.split()[0] for line in removed.splitlines() if "source_name=spare" in line)
        scene.sound.unload(number)
        scene.node.takes(
            lambda: "spare" in scene.node.source("room/microphone")["reason"], REPORTED_WITHIN_S, "the swap is reported"
        )
        back = is_back(scene, "room/microphone", "audio")
        scene.node.takes(back, BACK_WITHIN_S, "the remaining microphone is used")


@a_part
def test_the_microphone_recovers_when_the_sound_server_thaws(scene: Scene) -> None:
    with heard(scene), others_unaffected(scene, "room/microphone"):
        with scene.sound.frozen():
            scene.node.takes(is_reported(scene, "room/microphone", "no sound"), REPORTED_WITHIN_S, "frozen")
            back = is_back(scene, "room/microphone", "audio")
        scene.node.takes(back, BACK_WITHIN_S, "thawed")


@a_part
def test_the_microphone_recovers_when_its_process_is_killed_or_frozen(scene: Scene) -> None:
    with heard(scene):
        for number, word in ((signal.SIGKILL, "SIGKILL"), (signal.SIGSTOP, "no sound")):
            with others_unaffected(scene, "room/microphone"):
                (child,) = children_of(scene.daemon.process.pid, "microphone")
                back = is_back(scene, "room/microphone", "audio")
                os.kill(child, number)
                scene.node.takes(
                    lambda word=word: word in scene.node.source("room/microphone")["reason"],
                    REPORTED_WITHIN_S,
                    number.name,
                )
                scene.node.takes(back, BACK_WITHIN_S, f"back after {number.name}")
