"""Remote updates: a real daemon, broker and web server with a publisher's repository."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from ai_edge_litert import schema_py_generated as schema

from daemon.core.errors import EXIT_REFUSED
from daemon.inference.graphs import write_head
from tests.helpers import hostile_models
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT, SERVICE, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.publishing import Repository
from tests.helpers.webserver import Fault, WebServer
from tests.node import test_daemon
from tests.node.test_daemon import parsed

pytestmark = pytest.mark.campaign("live-updates", part=6)

Config = Callable[..., dict]
config, material = test_daemon.config, test_daemon.material

OLD, NEW = "brightness@1.2.3", "brightness@1.3.0"
STAGES = ["resolve", "download", "verify", "check", "selftest", "switch", "probation"]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


class Device:
    """A daemon with a source of bundles: sends commands to it, and recognises_text what it publishes."""

    def __init__(self, directory: Path, settings: dict, broker: Mosquitto, subscriber: Subscriber) -> None:
        self.directory, self.broker, self.subscriber = directory, broker, subscriber
        self.repository = Repository(directory / "publisher").init()
        self.repository.publish()
        self.settings = settings
        self.node = settings["node"]

    def source(self, url: str, **more: object) -> None:
        root = str(self.repository.root)
        self.settings["models"] = {"source": url, "root": root, "automatic": False, **more}

    def publish(
        self, version: str = "1.3.0", change: Callable[[Path], object] = lambda _: None, **manifest: object
    ) -> None:
        bundle = write_bundle(self.directory / "bundles" / version, version=version, **manifest)
        change(bundle)
        self.repository.add(bundle)
        self.repository.publish()

    def run(self, prefix: tuple[str, ...] = ()) -> DaemonProcess:
        return DaemonProcess(self.settings, self.directory, prefix=prefix)

    def send(self, name: str, **arguments: object) -> None:
        self.broker.publish(f"perceptd/{self.node}/command/{name}", json.dumps(arguments).encode())

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `perceptd` with the broker and the node."""
        reach = ("--broker", f"127.0.0.1:{self.broker.port}", "--node", self.node)
        command = [sys.executable, "-m", "daemon", *arguments, *reach]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    def models(self) -> dict:
        return (parsed(self.subscriber.heard, "models") or [{}])[-1]

    def stages(self) -> list[str]:
        """Return the published stages. Short ones may be missing: of a retained topic only the latest value is sent."""
        candidates = [payload["candidate"] for payload in parsed(self.subscriber.heard, "models")]
        return list(dict.fromkeys(candidate["stage"] for candidate in candidates if candidate))

    def active(self) -> str | None:
        """Return the id of the active bundle, as it is published; None before anything is."""
        return (self.models().get("active") or {}).get("id")

    def is_on_probation(self) -> bool:
        """Return whether the candidate is on probation, as it is published."""
        return (self.models().get("candidate") or {}).get("stage") == "probation"

    def is_at(self, stage: str) -> bool:
        """Return whether the stored state is in this stage."""
        try:
            state = json.loads((self.directory / "state" / "models" / "state.json").read_bytes())
        except FileNotFoundError:
            return False
        return stage == ("probation" if state["probation"] else (state["candidate"] or {}).get("stage"))

    def result(self) -> dict:
        return self.models().get("last_result") or {}

    def health(self) -> dict:
        return (parsed(self.subscriber.heard, "health") or [{}])[-1]

    def recognised_by(self) -> list[str]:
        return [recognition["bundle"] for recognition in parsed(self.subscriber.heard, "recognition")]

    def ended_by(self) -> set[str | None]:
        return {event["ended_by"] for event in parsed(self.subscriber.heard, "event")}

    def has_open_event(self, label: str) -> bool:
        events = [event for event in parsed(self.subscriber.heard, "event") if event["label"] == label]
        return {event["id"] for event in events} != {event["id"] for event in events if event["phase"] == "end"}

    def wait_for_recognitions(self, bundle: str = OLD) -> None:
        """Wait until the bundle has made further recognitions."""
        count = len(self.recognised_by())
        wait_until(lambda: len(self.recognised_by()) > count + 5, "further recognitions")
        assert set(self.recognised_by()[count + 5 :]) == {bundle}

    def slots(self) -> list[Path]:
        return list((self.directory / "state" / "models" / "slots").glob("*"))


@pytest.fixture
def device(tmp_path: Path, broker: Mosquitto, config: Config, request: pytest.FixtureRequest) -> Iterator[Device]:
    node = request.node.name[:60].replace("[", "-").replace("]", "")
    with Subscriber(broker, f"perceptd/{node}/#") as subscriber:
        device = Device(tmp_path, config(node), broker, subscriber)
        with WebServer(device.repository.public).serving() as server:
            device.source(server.url)
            yield device


def test_a_new_version_is_installed_while_the_node_recognises_and_no_frame_is_lost(device: Device) -> None:
    device.settings["streams"]["s"]["fusion"] = {
        "max_rate_hz": 1000.0
    }  # each frame is a moment, however close they come
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "the built-in bundle recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        device.wait_for_recognitions(NEW)
        wait_until(device.is_on_probation, "it is published that the new bundle is on probation")
        assert device.models()["active"] == {
            "id": NEW,
            "name": "brightness",
            "version": "1.3.0",
            "shipped": False,
            "taught": False,
        }
        assert device.models()["previous"]["id"] == OLD
        assert device.stages() == [stage for stage in STAGES if stage in device.stages()]
        assert {"resolve", "check", "selftest", "probation"} <= set(device.stages())
        assert daemon.stop() == 0
    device.subscriber.wait_offline(device.node)
    recognitions = parsed(device.subscriber.heard, "recognition")
    bundles = [recognition["bundle"] for recognition in recognitions]
    assert bundles == sorted(bundles)
    stream = device.health()["streams"]["s"]
    image = stream["inputs"]["image"]
    assert image["dropped"].keys() <= {"busy"}, "a busy machine may drop frames"
    assert image["captured"] - image["dropped"].get("busy", 0) == image["encoded"] == stream["recognitions"]
    ended = [event for event in parsed(device.subscriber.heard, "event") if event["ended_by"] == "bundle"]
    assert len(ended) <= 1 and all(event["bundle"] == OLD for event in ended)
    by_id: dict[str, set[str]] = {}
    for event in parsed(device.subscriber.heard, "event"):
        by_id.setdefault(event["id"], set()).add(event["bundle"])
    assert all(len(bundles) == 1 for bundles in by_id.values())


def test_a_new_version_is_confirmed_after_500_moments(device: Device) -> None:
    """The old bundle recognises nothing, so the new one's latency on a busy machine is not compared with it."""
    device.publish()
    film, state = device.directory / "fast.mp4", device.directory / "state"
    test_daemon.write_clip(film, 120)
    device.settings["streams"]["s"] = {"replay": {"file": str(film)}, "fusion": {"max_rate_hz": 1000.0}}
    state.mkdir()
    (state / "switches.json").write_text('{"s": {"paused": true}}')
    with device.run() as daemon:
        wait_until(device.models, "it runs and is paused")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: device.active() == NEW, "it takes over")
        device.send("resume")
        wait_until(device.result, "the probation ends", timeout_s=120)
        assert device.result() | {"time": ""} == {
            "bundle": NEW,
            "ok": True,
            "stage": "probation",
            "reason": None,
            "time": "",
        }
        assert len(device.recognised_by()) >= 500
        assert daemon.stop() == 0


def test_an_installed_bundle_survives_a_restart_and_rollback_restores_the_previous_one(device: Device) -> None:
    # its last label lasts, so an event is open when the config is read again
    film = device.directory / "lasting.mp4"
    test_daemon.write_clip(film, 30, passages=[("dark", 15), ("bright", 3_600)])
    device.settings["streams"]["s"]["replay"]["file"] = str(film)
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert daemon.stop() == 0
    device.subscriber.wait_offline(device.node)
    device.subscriber.heard.clear()
    with device.run(SERVICE) as daemon:
        device.wait_for_recognitions(NEW)
        wait_until(lambda: device.has_open_event("bright"), "an event that lasts")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "beginning again with the changed config" in daemon.log, "the config is read again")
        wait_until(lambda: "reload" in device.ended_by(), "the open event ends")
        device.wait_for_recognitions(NEW)
        wait_until(device.is_on_probation, "it is on probation")
        device.send("models_rollback")
        wait_until(lambda: device.active() == OLD, "the built-in bundle is back")
        device.wait_for_recognitions(OLD)
        refused = device.models()["refused"]
        assert [(entry["bundle"], entry["stage"]) for entry in refused] == [(NEW, "switch")]
        assert daemon.stop() == 0


def test_a_rollback_during_the_first_installation_ends_it_and_the_command(device: Device) -> None:
    device.publish()
    with WebServer(device.repository.public).serving() as silent:
        silent.faults["*"] = Fault(silent=True)
        device.source(silent.url)
        with device.run() as daemon:
            wait_until(device.models, "it runs")
            device.send("models_install", version="1.3.0")
            wait_until(lambda: device.stages() == ["resolve"], "the installation begins")
            done = device.command("models", "rollback")
            said = f"has given up {NEW} in resolve: a rollback was requested; runs {OLD}\n"
            assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
            assert daemon.stop() == 0


def test_newer_versions_are_installed_automatically_unless_pinned(device: Device) -> None:
    device.settings["models"] |= {"automatic": True}
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_pin", on=True)
        wait_until(lambda: device.models().get("pinned"), "it is pinned")
        device.send("models_check")
        wait_until(lambda: device.models()["last_check"], "it has checked the source")
        assert device.models()["latest"] == "1.3.0"
        assert device.models()["candidate"] is None
        device.send("models_pin", on=False)
        wait_until(lambda: not device.models()["pinned"], "it is not pinned any more")
        device.send("models_check")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert daemon.stop() == 0


def test_a_damaged_built_in_bundle_does_no_harm_while_another_is_active(device: Device) -> None:
    device.publish()
    built_in = Path(shutil.copytree(device.settings["bundle"], device.directory / "built-in"))
    device.settings["bundle"] = str(built_in)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert daemon.stop() == 0
    (built_in / "bundle.yaml").write_bytes(b"")
    with device.run() as daemon:
        device.wait_for_recognitions(NEW)
        assert "the config's own bundle cannot be used" in daemon.log
        assert daemon.stop() == 0
    for slot in device.slots():
        (slot / "head.tflite").write_bytes(bytes(100))
    with device.run() as daemon:
        assert daemon.wait(60) == EXIT_REFUSED
        assert "head.tflite is damaged" in daemon.log


def test_a_mistake_in_the_config_does_not_remove_the_installed_bundle(device: Device) -> None:
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert daemon.stop() == 0
    device.settings["streams"]["s"]["events"] = {"thresholds": {"brihgt": {"start": 0.9, "end": 0.5}}}
    with device.run() as daemon:
        assert daemon.wait(60) == EXIT_REFUSED
        assert f"thresholds.brihgt: {NEW} makes no event of it" in daemon.log
    del device.settings["streams"]["s"]["events"]
    with device.run() as daemon:
        device.wait_for_recognitions(NEW)
        assert daemon.stop() == 0


def test_a_bundle_that_uses_nothing_a_stream_captures_is_refused(device: Device) -> None:
    film = device.settings["streams"]["s"]["replay"]["file"]
    device.settings["streams"]["s"] = {"camera": {"device": film}, "text": {"enabled": False}}
    device.publish(change=with_text_alone)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(device.result, "it is refused")
        assert device.result()["stage"] == "switch"
        assert device.result()["reason"] == f"streams.s: captures nothing that the bundle {NEW} uses"
        device.wait_for_recognitions()
        assert daemon.stop() == 0


def with_model(make: Callable[[], bytes]) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        (bundle / "image.tflite").write_bytes(make())

    return spoil


def falsify_selftest(bundle: Path) -> None:
    cases = {"cases": [{"image": "white.png", "scores": {"dark": 1.0}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))


BAD_BUNDLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "unresolved": (with_model(hostile_models.unresolved), "check"),
    "crashes": (with_model(hostile_models.split_into_none), "check"),
    "wants_8_gb": (with_model(hostile_models.filled_to_8_gb), "selftest"),
    "false_selftest": (falsify_selftest, "selftest"),
}


@pytest.mark.parametrize(("spoil", "stage"), BAD_BUNDLES.values(), ids=BAD_BUNDLES.keys())
def test_a_bad_bundle_is_refused_and_the_active_one_goes_on(
    device: Device, spoil: Callable[[Path], None], stage: str
) -> None:
    device.publish(change=spoil)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(device.result, "it is refused")
        assert (device.result()["ok"], device.result()["stage"]) == (False, stage)
        assert "\n" not in device.result()["reason"]
        assert device.active() == OLD
        device.wait_for_recognitions()
        assert daemon.stop() == 0
    device.subscriber.wait_offline(device.node)
    assert set(device.recognised_by()) == {OLD}


def test_the_third_start_during_probation_restores_the_old_bundle(device: Device) -> None:
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: device.active() == NEW, "it takes over")
        daemon.process.kill()
        daemon.process.wait()
    for _ in range(2):
        with device.run() as daemon:
            device.wait_for_recognitions(NEW)
            daemon.process.kill()
            daemon.process.wait()
    with device.run() as daemon:
        wait_until(lambda: device.active() == OLD, "the old one is back")
        device.wait_for_recognitions()
        assert "3 times" in device.models()["refused"][0]["reason"]
        assert daemon.stop() == 0


def test_killed_in_any_stage_it_starts_again_and_completes_the_installation(device: Device) -> None:
    """The stage `switch` is too short to be seen here; the tests of power cuts cover it."""
    device.publish()
    for stage in (stage for stage in STAGES if stage != "switch"):
        with device.run() as daemon:
            device.wait_for_recognitions()
            if stage == "resolve":
                device.send("models_install", version="1.3.0")
            wait_until(partial(device.is_at, stage), f"it comes to {stage}")
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
    with device.run() as daemon:
        device.wait_for_recognitions(NEW)
        assert daemon.stop() == 0


def test_a_bundle_with_other_modalities_restarts_the_node_with_its_sources(device: Device) -> None:
    device.publish(change=with_text)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.send("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert device.result() == {}, "the old bundle's moments do not count in its probation"
        wait_until(lambda: recognises_text(device), "text is recognised too")
        device.wait_for_recognitions(NEW)
        assert daemon.stop() == 0


def with_text_alone(bundle: Path) -> None:
    with_text(bundle)
    weights = np.array([[-4, 0], [4, 0], [0, 0.1]], np.float32)
    (bundle / "head.tflite").write_bytes(write_head(weights, np.zeros(3, np.float32), [1]))
    (bundle / "image.tflite").unlink()
    cases = {"cases": [{"text": "seven", "scores": {"bright": 0.6}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    del manifest["modalities"]["image"]
    manifest["selftest"]["tolerance"] = 0.5
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def with_text(bundle: Path) -> None:
    """Add a text encoder to the bundle: its embedding is a small multiple of the sum of the bytes."""
    layers = hostile_models.Layers()
    source = layers.tensor("line", [1, 8], kind=schema.TensorType.INT32)
    floats, embedding = layers.tensor("floats", [1, 8]), layers.tensor("embedding", [1, 1])
    layers.operator("CAST", [source], floats, "CastOptions", inDataType=schema.TensorType.INT32)
    layers.fully_connected([floats, layers.constant("weights", np.full((1, 8), 0.001, np.float32)), -1], embedding)
    (bundle / "text.tflite").write_bytes(layers.serialize([source], [embedding]))
    weights = np.array([[-4, 4, 0, 0, 0], [4, -4, 0, 0, 0], [0, 0, 0.1, 0, 0]], np.float32)
    (bundle / "head.tflite").write_bytes(write_head(weights, np.zeros(3, np.float32), [2, 1]))
    cases = {"cases": [{"image": "white.png", "text": "seven", "scores": {"bright": 1.0}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["modalities"]["text"] = {
        "model": "text.tflite",
        "input": {"shape": [1, 8], "dtype": "int32"},
        "output": {"shape": [1, 1], "dtype": "float32"},
        "max_age_ms": 500,
    }
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def recognises_text(device: Device) -> bool:
    device.broker.publish(f"perceptd/{device.node}/s/text", b"seven")
    return any("text" in recognition["modalities"] for recognition in parsed(device.subscriber.heard, "recognition"))
