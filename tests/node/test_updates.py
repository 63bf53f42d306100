"""Bundles replaced from afar: a real daemon, a real broker, a real web server with a real publisher's repository."""

import json
import shutil
import signal
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
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.publishing import Repository
from tests.helpers.webserver import WebServer
from tests.node import test_daemon
from tests.node.test_daemon import parsed

Config = Callable[..., dict]
config, material = test_daemon.config, test_daemon.material

OLD, NEW = "brightness@1.2.3", "brightness@1.3.0"
STAGES = ["resolve", "download", "verify", "check", "selftest", "switch", "probation"]


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


class Device:
    """A daemon with a source of bundles, and what is heard of it."""

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

    def run(self) -> DaemonProcess:
        return DaemonProcess(self.settings, self.directory)

    def tell(self, name: str, **order: object) -> None:
        self.broker.publish(f"perceptd/{self.node}/command/{name}", json.dumps(order).encode())

    def models(self) -> dict:
        return (parsed(self.subscriber.heard, "models") or [{}])[-1]

    def stages(self) -> list[str]:
        """Those that were told: of a retained topic only the latest value is sent, so short ones may be missing."""
        candidates = [payload["candidate"] for payload in parsed(self.subscriber.heard, "models")]
        return list(dict.fromkeys(candidate["stage"] for candidate in candidates if candidate))

    def is_at(self, stage: str) -> bool:
        """Whether a start would find it in this stage."""
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

    def goes_on(self, bundle: str = OLD) -> None:
        """Wait until it has recognised something more."""
        count = len(self.recognised_by())
        wait_until(lambda: len(self.recognised_by()) > count + 5, "it goes on recognising")
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


def test_a_new_version_comes_while_the_node_recognises_and_nothing_is_lost(device: Device) -> None:
    device.settings["streams"]["s"]["fusion"] = {"max_rate_hz": 1000.0}  # each frame a moment, however close they come
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "the config's own bundle recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        device.goes_on(NEW)
        assert device.models()["candidate"]["stage"] == "probation"
        assert device.models()["active"] == {"id": NEW, "name": "brightness", "version": "1.3.0", "shipped": False}
        assert device.models()["previous"]["id"] == OLD
        assert device.stages() == [stage for stage in STAGES if stage in device.stages()]
        assert {"resolve", "check", "selftest", "probation"} <= set(device.stages())
        assert daemon.stop() == 0
    recognitions = parsed(device.subscriber.heard, "recognition")
    bundles = [recognition["bundle"] for recognition in recognitions]
    assert bundles == sorted(bundles)
    stream = device.health()["streams"]["s"]
    image = stream["inputs"]["image"]
    assert image["dropped"].keys() <= {"busy"}, "which is the machine's fault"
    assert image["captured"] - image["dropped"].get("busy", 0) == image["encoded"] == stream["recognitions"]
    ended = [event for event in parsed(device.subscriber.heard, "event") if event["ended_by"] == "bundle"]
    assert len(ended) <= 1 and all(event["bundle"] == OLD for event in ended)
    by_id: dict[str, set[str]] = {}
    for event in parsed(device.subscriber.heard, "event"):
        by_id.setdefault(event["id"], set()).add(event["bundle"])
    assert all(len(bundles) == 1 for bundles in by_id.values())


def test_it_is_confirmed_after_500_moments(device: Device) -> None:
    """The old one has seen nothing, so that on a busy machine no latency stands in the way."""
    device.publish()
    film, state = device.directory / "fast.mp4", device.directory / "state"
    test_daemon.write_clip(film, 120)
    device.settings["streams"]["s"] = {"replay": {"file": str(film)}, "fusion": {"max_rate_hz": 1000.0}}
    state.mkdir()
    (state / "switches.json").write_text('{"s": {"paused": true}}')
    with device.run() as daemon:
        wait_until(device.models, "it runs, paused")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: device.models()["active"]["id"] == NEW, "it takes over", timeout_s=30)
        device.tell("resume")
        wait_until(device.result, "it is judged", timeout_s=120)
        assert device.result() | {"time": ""} == {
            "bundle": NEW,
            "ok": True,
            "stage": "probation",
            "reason": None,
            "time": "",
        }
        assert len(device.recognised_by()) >= 500
        assert daemon.stop() == 0


def test_it_is_still_there_after_a_restart_and_rollback_brings_back_the_one_before(device: Device) -> None:
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises")
        assert daemon.stop() == 0
    with device.run() as daemon:
        wait_until(lambda: device.health().get("process", {}).get("uptime_s", 99) < 5, "it has started again")
        device.goes_on(NEW)
        device.tell("models_rollback")
        wait_until(lambda: device.models()["active"]["id"] == OLD, "the config's own is back")
        device.goes_on(OLD)
        refused = device.models()["refused"]
        assert [(entry["bundle"], entry["stage"]) for entry in refused] == [(NEW, "switch")]
        assert daemon.stop() == 0


def test_newer_versions_come_by_themselves_unless_pinned(device: Device) -> None:
    device.settings["models"] |= {"automatic": True}
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_pin", on=True)
        wait_until(lambda: device.models().get("pinned"), "it is pinned")
        device.tell("models_check")
        wait_until(lambda: device.models()["last_check"], "it has looked")
        assert device.models()["latest"] == "1.3.0"
        assert device.models()["candidate"] is None
        device.tell("models_pin", on=False)
        wait_until(lambda: not device.models()["pinned"], "it is not pinned any more")
        device.tell("models_check")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises", timeout_s=30)
        assert daemon.stop() == 0


def test_a_damaged_bundle_of_the_config_is_not_needed_while_another_runs(device: Device) -> None:
    device.publish()
    built_in = Path(shutil.copytree(device.settings["bundle"], device.directory / "own"))
    device.settings["bundle"] = str(built_in)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises", timeout_s=30)
        assert daemon.stop() == 0
    (built_in / "bundle.yaml").write_bytes(b"")
    with device.run() as daemon:
        device.goes_on(NEW)
        assert "the config's own bundle cannot be used" in daemon.log
        assert daemon.stop() == 0
    for slot in device.slots():
        (slot / "head.tflite").write_bytes(bytes(100))
    with device.run() as daemon:
        assert daemon.wait(30) == EXIT_REFUSED
        assert "head.tflite is damaged" in daemon.log


def test_a_mistake_in_the_config_does_not_cost_what_is_installed(device: Device) -> None:
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises", timeout_s=30)
        assert daemon.stop() == 0
    device.settings["streams"]["s"]["events"] = {"thresholds": {"brihgt": {"start": 0.9, "end": 0.5}}}
    with device.run() as daemon:
        assert daemon.wait(30) == EXIT_REFUSED
        assert f"thresholds.brihgt: {NEW} makes no event of it" in daemon.log
    del device.settings["streams"]["s"]["events"]
    with device.run() as daemon:
        device.goes_on(NEW)
        assert daemon.stop() == 0


def test_a_bundle_for_which_a_stream_has_nothing_is_refused(device: Device) -> None:
    film = device.settings["streams"]["s"]["replay"]["file"]
    device.settings["streams"]["s"] = {"camera": {"device": film}, "text": {"enabled": False}}
    device.publish(change=with_text_alone)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(device.result, "it is refused", timeout_s=30)
        assert device.result()["stage"] == "switch"
        assert device.result()["reason"] == f"streams.s: captures nothing that the bundle {NEW} uses"
        device.goes_on()
        assert daemon.stop() == 0


def with_model(make: Callable[[], bytes]) -> Callable[[Path], None]:
    def spoil(bundle: Path) -> None:
        (bundle / "image.tflite").write_bytes(make())

    return spoil


def lie(bundle: Path) -> None:
    cases = {"cases": [{"image": "white.png", "scores": {"dark": 1.0}}]}
    (bundle / "selftest" / "cases.yaml").write_text(yaml.safe_dump(cases))


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "unresolved": (with_model(hostile_models.unresolved), "check"),
    "crashes": (with_model(hostile_models.split_into_none), "check"),
    "wants_8_gb": (with_model(hostile_models.filled_to_8_gb), "selftest"),
    "lies": (lie, "selftest"),
}


@pytest.mark.parametrize(("spoil", "stage"), BAD.values(), ids=BAD.keys())
def test_a_bad_bundle_is_refused_and_the_node_goes_on(
    device: Device, spoil: Callable[[Path], None], stage: str
) -> None:
    device.publish(change=spoil)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(device.result, "it is refused", timeout_s=30)
        assert (device.result()["ok"], device.result()["stage"]) == (False, stage)
        assert "\n" not in device.result()["reason"]
        assert device.models()["active"]["id"] == OLD
        device.goes_on()
        assert daemon.stop() == 0
    assert set(device.recognised_by()) == {OLD}


def test_the_third_start_in_probation_goes_back(device: Device) -> None:
    device.publish()
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: device.models()["active"]["id"] == NEW, "it takes over", timeout_s=30)
        daemon.process.kill()
        daemon.process.wait()
    for _ in range(2):
        with device.run() as daemon:
            device.goes_on(NEW)
            daemon.process.kill()
            daemon.process.wait()
    with device.run() as daemon:
        wait_until(lambda: device.models()["active"]["id"] == OLD, "the old one is back")
        device.goes_on()
        assert "3 times" in device.models()["refused"][0]["reason"]
        assert daemon.stop() == 0


def test_killed_in_every_stage_it_starts_whole_and_installs_at_last(device: Device) -> None:
    """But for the switch, which is over before anybody sees it begin: tests of power cuts end in it too."""
    device.publish()
    for stage in (stage for stage in STAGES if stage != "switch"):
        with device.run() as daemon:
            device.goes_on()
            if stage == "resolve":
                device.tell("models_install", version="1.3.0")
            wait_until(partial(device.is_at, stage), f"it comes to {stage}", timeout_s=30)
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
    with device.run() as daemon:
        device.goes_on(NEW)
        assert daemon.stop() == 0


def test_a_bundle_with_other_senses_has_its_sources_opened_anew(device: Device) -> None:
    device.publish(change=with_text)
    with device.run() as daemon:
        wait_until(lambda: OLD in device.recognised_by(), "it recognises")
        device.tell("models_install", version="1.3.0")
        wait_until(lambda: NEW in device.recognised_by(), "the new bundle recognises", timeout_s=30)
        assert device.result() == {}, "judged by its own moments alone"
        wait_until(lambda: reads(device), "what is written is recognised too")
        device.goes_on(NEW)
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
    """Let it read too: how many bytes there are, weighed little."""
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


def reads(device: Device) -> bool:
    device.broker.publish(f"perceptd/{device.node}/s/text", b"seven")
    return any("text" in recognition["modalities"] for recognition in parsed(device.subscriber.heard, "recognition"))
