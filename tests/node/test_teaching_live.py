"""Teaching from end to end: a real daemon and broker, real encoders, presses over MQTT, and the event that follows."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.records import Frame, Plane
from daemon.core.timing import NS_PER_S
from daemon.pipeline.recent import Window
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.showing import moments_of
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment
from daemon.teaching.store import TeachingStore
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.pupil import Pupil
from tests.node import test_daemon

Config = Callable[..., dict]
config, material = test_daemon.config, test_daemon.material

# brightness and seconds of each passage
PASSAGES = ((20, 1), (180, 2), (20, 1), (210, 2), (20, 1), (240, 2))
RATE_HZ = 15


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def pupil(broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[Pupil]:
    name = request.node.name[:40]
    with Subscriber(broker, f"perceptd/{name}/#") as subscriber:
        yield Pupil(subscriber, broker, name)


def noise(rng: np.random.Generator, brightness: int) -> Plane:
    """Return a picture of about this brightness, brighter on the right. No two are equal."""
    slope = np.linspace(-15, 15, 64)[None, :, None]
    return np.clip(rng.normal(brightness, 3, (48, 64, 3)) + slope, 0, 255).astype(np.uint8)


def write_noise(path: Path) -> None:
    """Write a clip of the passages."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for brightness, seconds in PASSAGES:
            for _ in range(seconds * RATE_HZ):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(rng, brightness), format="bgr24")))
        container.mux(stream.encode())


def learn_place(state: Path, bundle_directory: Path, stream: str) -> None:
    """Store the background of a place that shows pictures that are more or less dark."""
    bundle = load_bundle(bundle_directory)
    recogniser = load_recogniser(bundle)
    store = TeachingStore(state / "teaching" / "teaching.db")
    rng = np.random.default_rng(22)
    for number in range(NEEDED_BACKGROUND):
        (moment,) = moments_of(Window([Frame((noise(rng, 4 * number),), 0)], 0, NS_PER_S), recogniser)
        taken_s = time.time() - 10 * number
        store.add_background(BackgroundMoment(stream, taken_s, encoder_fingerprints(bundle), moment.vectors))
    store.close()


def test_presses_over_mqtt_become_an_event_of_their_own(
    tmp_path: Path, pupil: Pupil, config: Config, material: Path
) -> None:
    write_noise(tmp_path / "clip.mp4")
    settings = config(pupil.name, file=str(tmp_path / "clip.mp4"))
    learn_place(tmp_path / "state", material / "bundle", "s")
    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: pupil.latest("teaching").get("text") == "nothing is taught yet", "the place is known")
        for _ in range(3):
            pupil.wait_for_event("bright")
            answer = pupil.send("teach", label="lamp on", seconds=1)
            assert answer["ok"], answer
            assert answer["result"]["senses"] == ["image"]
        wait_until(lambda: pupil.label().get("state") == "ready", "the label is ready", 30)
        event = pupil.wait_for_event("lamp on")
        assert event["bundle"].startswith("brightness@1.2.3+taught.")
        assert pupil.send("teach_wrong", event=event["id"])["result"]["label"] == "lamp on"
        assert pupil.latest("health")["teaching"]["problem"] is None
        assert daemon.stop() == 0
