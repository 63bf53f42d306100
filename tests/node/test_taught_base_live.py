"""New bases of a signed repository come to a node that was taught: a real daemon, updater, broker and encoders."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.core.records import Frame
from daemon.node.encoding_again import window_of
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.showing import showing_of
from daemon.teaching.blobs import differ
from daemon.teaching.pictures import picture_bytes, picture_from
from daemon.teaching.records import Example
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import DaemonProcess
from tests.helpers.format2_bundle import manifest, write_bundle
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.publishing import Repository
from tests.helpers.pupil import Pupil
from tests.node.test_teaching_live import LIGHT_S, WALL_S, learn_place, wall, write_clip

EACH_S = WALL_S + LIGHT_S


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


def other_encoders() -> dict:
    """Return the encoders of another version: they see the same with other numbers."""
    encoders = manifest()["encoders"]
    encoders["scene"]["outputs"]["embedding"]["factor"] = 0.25
    return encoders


@pytest.mark.campaign("teaching")
@pytest.mark.parametrize("version", ["1.1.0", "2.0.0"])
def test_labels_come_with_a_base_or_come_back_after_one_with_other_encoders(
    tmp_path: Path, broker: Mosquitto, version: str
) -> None:
    """By default the example of a picture is encoded by the base, and in a campaign a node installs it."""
    same = version == "1.1.0"
    base = write_bundle(tmp_path / version, version=version, **({} if same else {"encoders": other_encoders()}))
    active = write_bundle(tmp_path / "bundle")
    assert differ(encoder_fingerprints(load_bundle(active)), encoder_fingerprints(load_bundle(base))) is not same
    if not IS_CAMPAIGN:
        check_encoded_again(base)
        return
    repository = Repository(tmp_path / "publisher").init()
    repository.add(base)
    repository.publish()
    write_clip(tmp_path / "clip.mp4")
    name = f"follows-{version[0]}"
    settings = {
        "node": name,
        "bundle": str(active),
        "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
        "models": {"source": f"file://{repository.public}", "root": str(repository.root), "automatic": False},
        "streams": {"s": {"replay": {"file": str(tmp_path / "clip.mp4")}}},
    }
    for bundle in [active] if same else [active, base]:
        learn_place(tmp_path / "state", bundle, "s")
    with Subscriber(broker, f"perceptd/{name}/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        pupil = Pupil(subscriber, broker, name)
        wait_until(lambda: pupil.seconds() > 2.5 * EACH_S, "the ring holds what is pressed")
        for number in (1, 0):
            assert pupil.send("teach", label="light", seconds=EACH_S, ago_s=number * EACH_S)["ok"]
        wait_until(lambda: pupil.latest("teaching").get("bundle") == "corner@1.0.0+taught.1", "the labels run")
        wait_until(lambda: pupil.latest("models").get("candidate") is None, "the updater is free", 180)
        assert pupil.send("models_install", version=version)["ok"]
        taught = f"corner@{version}+taught.2"
        wait_until(lambda: is_ready_on(pupil, taught), "the labels run on the base", 120)
        assert pupil.wait_for_event("light")["bundle"] == taught
        used = [each["bundle"] for each in pupil.all("teaching")]
        assert (f"corner@{version}" in used) is not same, "only other encoders take over first, and encode the examples"
        assert pupil.latest("health")["teaching"]["dropped"] == {}
        assert daemon.stop() == 0


def check_encoded_again(base: Path) -> None:
    """Check that the picture of an example gives what the encoders of the base give for a frame."""
    recogniser = load_recogniser(load_bundle(base), ("image",))
    shown = wall(np.random.default_rng(3), 120, 90)
    example = Example("x", "light", "s", 1e9, "press", {}, [], picture=picture_bytes(shown))
    showing = showing_of(window_of(example, None), recogniser)
    kept = Frame((picture_from(example.picture or b""),), 0)
    expected = {name: encoder.encode(kept).vector for name, encoder in recogniser.encoders.items()}
    assert showing.moments[-1].vectors.keys() == expected.keys() == {"scene", "people"}
    for name, vector in expected.items():
        np.testing.assert_allclose(showing.moments[-1].vectors[name], vector, atol=1e-6)


def is_ready_on(pupil: Pupil, bundle: str) -> bool:
    """Whether the label is recognised by a bundle of this id."""
    return pupil.latest("teaching").get("bundle") == bundle and pupil.label().get("state") == "ready"
