"""Every fault of a source, told and healed by a daemon that goes on, while its other sources notice nothing.

One daemon lives through all of them, with real cameras, a real sound server and a real broker.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.node import DELIVERS, TROUBLE, WatchedNode
from tests.faults.restartable import FaultyRtsp, RestartableMjpeg
from tests.helpers.clips import write_clip
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mjpeg import MjpegCamera
from tests.helpers.mosquitto import Mosquitto, Subscriber
from tests.helpers.processes import children_of
from tests.helpers.pulse import PulseServer

pytestmark = pytest.mark.xdist_group("sound")

TOLD_WITHIN_S = 3.0
BACK_WITHIN_S = 2.0
"""What is promised of every fault."""

STALL_AFTER_S = 1.5
LOGIN = ("viewer", "s3cret")


@dataclass
class Scene:
    """The daemon, and all it watches."""

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
        # where the sound server will be is known before it is there
        (directory / "asound.conf").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")
        subscriber = stack.enter_context(Subscriber(broker, "perceptd/n/#"))
        daemon = stack.enter_context(DaemonProcess(config, directory, environment=sound.environment))
        node = WatchedNode(subscriber, "n")
        node.takes(lambda: subscriber.payloads("perceptd/n/health"), 60, "health")
        clip = write_clip(directory / "clip.mp4", seconds=2)
        yield Scene(node, daemon, rtsp, mjpeg, sound, film, clip)
        assert daemon.process.poll() is None, "it has lived through all"
        assert daemon.stop() == 0
        assert "s3cret" not in daemon.log
        assert "Traceback" not in daemon.log


def is_told(scene: Scene, path: str, word: str) -> Callable[[], bool]:
    def told() -> bool:
        source = scene.node.source(path)
        return source["state"] in TROUBLE and word in (source["reason"] or "")

    return told


def is_back(scene: Scene, path: str, modality: str) -> Callable[[], bool]:
    """Whether the source delivers again, by now and not only at first."""
    before = scene.node.captured(path, modality)

    def back() -> bool:
        return scene.node.source(path)["state"] in DELIVERS and scene.node.captured(path, modality) > before

    return back


@contextlib.contextmanager
def nothing_else_notices(scene: Scene, *but: str) -> Iterator[None]:
    """What other sources have delivered goes on, and none of them fails."""
    steady = ("steady/camera", "image")

    def failures() -> dict[str, int]:
        streams = scene.node.health()["streams"]
        named = {f"{s}/{n}": source for s, stream in streams.items() for n, source in stream["sources"].items()}
        return {name: source["failures"] for name, source in named.items() if name not in but}

    before, captured = failures(), scene.node.captured(*steady)
    yield
    scene.node.takes(lambda: scene.node.captured(*steady) > captured, 3, "the steady camera goes on")
    assert failures() == before


def suffer(scene: Scene, path: str, camera: object, fault: str, word: str, begin: Callable, end: Callable) -> None:
    """Let a fault of a camera begin and end: it is told with the word, and healed."""
    with nothing_else_notices(scene, path):
        begin(camera)
        scene.node.takes(is_told(scene, path, word), TOLD_WITHIN_S, fault)
        back = is_back(scene, path, "image")
        end(camera)
        scene.node.takes(back, BACK_WITHIN_S, f"back after: {fault}")


@pytest.mark.alone
def test_missing_at_the_start(scene: Scene) -> None:
    absent = {"front/camera": "refused", "yard/camera": "refused", "room/microphone": "", "hall/camera": "No such file"}
    for path, word in absent.items():
        scene.node.takes(is_told(scene, path, word), TOLD_WITHIN_S, f"{path} is missing")
    comes: list[tuple[str, str, Callable[[], None]]] = [
        ("front/camera", "image", lambda: scene.rtsp.start(*LOGIN)),
        ("yard/camera", "image", scene.mjpeg.start),
        ("room/microphone", "audio", scene.sound.start),
        ("hall/camera", "image", lambda: shutil.copy(scene.clip, scene.film) and None),
    ]
    for path, modality, come in comes:
        back = is_back(scene, path, modality)
        come()
        scene.node.takes(back, BACK_WITHIN_S, f"{path} has come")


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


@pytest.mark.alone
@pytest.mark.parametrize("fault", RTSP_FAULTS)
def test_an_rtsp_camera(scene: Scene, fault: str) -> None:
    suffer(scene, "front/camera", scene.rtsp, fault, *RTSP_FAULTS[fault])


@pytest.mark.alone
def test_an_rtsp_camera_that_changes_its_resolution_is_followed(scene: Scene) -> None:
    with nothing_else_notices(scene):
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


@pytest.mark.alone
@pytest.mark.parametrize("fault", MJPEG_FAULTS)
def test_an_mjpeg_camera(scene: Scene, fault: str) -> None:
    suffer(scene, "yard/camera", scene.mjpeg, fault, *MJPEG_FAULTS[fault])


@pytest.mark.alone
def test_an_mjpeg_camera_that_changes_its_resolution_is_followed(scene: Scene) -> None:
    with nothing_else_notices(scene):
        back = is_back(scene, "yard/camera", "image")
        scene.mjpeg.camera.size = (160, 120)
        scene.node.takes(back, BACK_WITHIN_S, "pictures of another size")


@pytest.mark.alone
def test_a_sound_server_that_is_killed_and_restarted(scene: Scene) -> None:
    with nothing_else_notices(scene, "room/microphone"):
        scene.sound.kill()
        scene.node.takes(is_told(scene, "room/microphone", ""), TOLD_WITHIN_S, "the sound server is gone")
        back = is_back(scene, "room/microphone", "audio")
        scene.sound.start()
        scene.node.takes(back, BACK_WITHIN_S, "the sound server is back")


@pytest.mark.alone
def test_a_source_that_the_sound_server_swaps(scene: Scene) -> None:
    """The microphone goes; the server moves its stream to another source, and comes back to it by its default."""
    with nothing_else_notices(scene, "room/microphone"), scene.sound.microphone("spare"):
        scene.sound.pactl("set-default-source", "spare")
        failures = scene.node.source("room/microphone")["failures"]
        back = is_back(scene, "room/microphone", "audio")
        (child,) = children_of(scene.daemon.process.pid, "microphone")
        os.kill(child, signal.SIGKILL)
        scene.node.takes(lambda: scene.node.source("room/microphone")["failures"] == failures + 1, 3, "killed")
        scene.node.takes(back, BACK_WITHIN_S, "the spare microphone is used")
        removed = scene.sound.pactl("list", "short", "modules")
        number = next(line.split()[0] for line in removed.splitlines() if "source_name=spare" in line)
        scene.sound.unload(number)
        scene.node.takes(
            lambda: "spare" in scene.node.source("room/microphone")["reason"], TOLD_WITHIN_S, "the swap is told"
        )
        back = is_back(scene, "room/microphone", "audio")
        scene.node.takes(back, BACK_WITHIN_S, "what is there is used")


@pytest.mark.alone
def test_a_sound_server_that_freezes(scene: Scene) -> None:
    with nothing_else_notices(scene, "room/microphone"):
        with scene.sound.frozen():
            scene.node.takes(is_told(scene, "room/microphone", "no sound"), TOLD_WITHIN_S, "frozen")
            back = is_back(scene, "room/microphone", "audio")
        scene.node.takes(back, BACK_WITHIN_S, "thawed")


@pytest.mark.alone
def test_a_microphone_whose_process_is_killed_or_frozen(scene: Scene) -> None:
    for number, word in ((signal.SIGKILL, "SIGKILL"), (signal.SIGSTOP, "no sound")):
        with nothing_else_notices(scene, "room/microphone"):
            (child,) = children_of(scene.daemon.process.pid, "microphone")
            back = is_back(scene, "room/microphone", "audio")
            os.kill(child, number)
            scene.node.takes(
                lambda word=word: word in scene.node.source("room/microphone")["reason"], TOLD_WITHIN_S, number.name
            )
            scene.node.takes(back, BACK_WITHIN_S, f"back after {number.name}")


def test_a_dark_room_with_a_muted_microphone_degrades_and_is_used(scene: Scene) -> None:
    """The sound server plays nothing: digital silence; the picture has been the same for long enough."""
    with nothing_else_notices(scene):
        scene.mjpeg.camera.mode = "still"
        for path in ("yard/camera", "room/microphone"):
            scene.node.takes(lambda path=path: scene.node.source(path)["state"] == "degraded", 40, f"{path} degrades")
        assert scene.node.source("yard/camera")["reason"] == "the picture never changes"
        assert scene.node.source("room/microphone")["reason"] == "digital silence"
        assert scene.node.health()["status"] == "degraded"
        encoded = scene.node.health()["streams"]["yard"]["inputs"]["image"]["encoded"]
        scene.node.takes(
            lambda: scene.node.health()["streams"]["yard"]["inputs"]["image"]["encoded"] > encoded, 3, "still encoded"
        )
        scene.mjpeg.camera.mode = "ok"
        with scene.sound.playing(440):
            for path in ("yard/camera", "room/microphone"):
                scene.node.takes(lambda path=path: scene.node.source(path)["state"] == "healthy", 5, f"{path} is well")
