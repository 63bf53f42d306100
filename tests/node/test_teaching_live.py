"""Teaching from end to end: a real daemon and broker, real encoders, presses over MQTT, and the event that follows."""

import time
from collections.abc import Iterator
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
from tests.helpers.format2_bundle import write_bundle
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.pupil import Pupil

# seconds of the wall alone, and of what is taught: light from the right
WALL_S, LIGHT_S = 0.5, 1.0
RATE_HZ = 10

# how light the wall is each time, and how much lighter its right half becomes
PASSAGES = ((60, 80), (120, 110), (90, 60), (150, 90))


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
def pupil(broker: Mosquitto, request: pytest.FixtureRequest) -> Iterator[Pupil]:
    name = request.node.name[:40]
    with Subscriber(broker, f"perceptd/{name}/#") as subscriber:
        yield Pupil(subscriber, broker, name)


def wall(rng: np.random.Generator, grey: float, light: float = 0.0) -> Plane:
    """Return the picture of a wall, whose right half may be lighter. No two are equal."""
    shown = np.full((48, 64, 3), grey, np.float64)
    shown[:, 32:] += light
    return np.clip(rng.normal(shown, 8), 0, 255).astype(np.uint8)


def write_clip(path: Path) -> None:
    """Write a clip in which the light comes and goes."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 2_000_000
        for grey, light in PASSAGES:
            for seconds, now in ((WALL_S, 0.0), (LIGHT_S, light)):
                for _ in range(round(seconds * RATE_HZ)):
                    frame = av.VideoFrame.from_ndarray(wall(rng, grey, now), format="bgr24")
                    container.mux(stream.encode(frame))
        container.mux(stream.encode())


def learn_place(state: Path, bundle_directory: Path, stream: str) -> None:
    """Store the background of a stream that shows the wall, as if it had been gathered."""
    bundle = load_bundle(bundle_directory)
    recogniser, encoders = load_recogniser(bundle, ("image",)), encoder_fingerprints(bundle)
    store = TeachingStore(state / "teaching" / "teaching.db")
    rng = np.random.default_rng(22)
    for number in range(NEEDED_BACKGROUND):
        window = Window([Frame((wall(rng, 40 + 5 * number, 2 * rng.normal()),), 0)], 0, NS_PER_S)
        (moment,) = moments_of(window, recogniser)
        store.add_background(BackgroundMoment(stream, time.time() - 10 * number, encoders, moment.vectors))
    store.close()


def test_presses_over_mqtt_become_an_event_of_their_own(tmp_path: Path, pupil: Pupil) -> None:
    write_clip(tmp_path / "clip.mp4")
    settings = {
        "node": pupil.name,
        "bundle": str(write_bundle(tmp_path / "bundle")),
        "mqtt": {"port": pupil.broker.port, "recognitions": {"publish": "every"}},
        "streams": {"s": {"replay": {"file": str(tmp_path / "clip.mp4")}}},
    }
    learn_place(tmp_path / "state", tmp_path / "bundle", "s")
    presses, each_s = 3, WALL_S + LIGHT_S
    with DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: pupil.latest("teaching").get("text") == "nothing is taught yet", "the place is known")
        wait_until(lambda: pupil.seconds() > (presses + 0.5) * each_s, "the ring holds what is pressed")
        for number in reversed(range(presses)):  # the last one is answered a second later
            answer = pupil.send("teach", label="light", seconds=each_s, ago_s=number * each_s)
            assert answer["ok"], answer
            assert answer["result"]["senses"] == ["image"]
        wait_until(lambda: pupil.label().get("state") == "ready", "the label is ready")
        event = pupil.wait_for_event("light")
        assert event["bundle"] == pupil.latest("teaching")["bundle"] == "corner@1.0.0+taught.1"
        assert pupil.send("teach_wrong", event=event["id"])["result"]["label"] == "light"
        assert pupil.latest("health")["teaching"]["problem"] is None
        assert daemon.stop() == 0
