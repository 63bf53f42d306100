"""The daemon with an accelerator, from end to end: a real process, broker, delegate and recording."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.processes import children_of, is_running
from tests.helpers.publishing import Repository, another_version
from tests.node.test_daemon import parsed

# in the command line of an accelerator's child process
ACCELERATOR_MAIN = "daemon.inference.accelerator_main"
DIGITS = ROOT / "models" / "digits"
DEMO = DIGITS / "demo"


def settings(broker: Mosquitto, bundle: Path = DIGITS, **devices: object) -> dict:
    return {
        "node": "n",
        "bundle": str(bundle),
        "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
        "health": {"every_s": 1.0},
        "devices": devices,
        "streams": {"s": {"replay": {"file": str(DEMO / "clip.mp4"), "text": str(DEMO / "clip.text.yaml")}}},
    }


class WatchedNode:
    """A node as a subscriber sees it."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    @property
    def health(self) -> dict:
        health: dict = (parsed(self._subscriber.heard, "health") or [{}])[-1]
        return health

    def accelerator(self, name: str) -> dict:
        found: dict = self.health.get("accelerators", {}).get(name, {})
        return found

    def has_run(self, bundle: str, modality: str, device: str) -> bool:
        """Return whether the device has run the modality's encoder of this bundle."""
        recognitions = [each for each in parsed(self._subscriber.heard, "recognition") if each["bundle"] == bundle]
        return any(each["modalities"].get(modality, {}).get("device") == device for each in recognitions)

    def devices(self, modality: str) -> list[str]:
        recognitions = parsed(self._subscriber.heard, "recognition")
        return [each["modalities"][modality]["device"] for each in recognitions if modality in each["modalities"]]


def test_recognitions_name_their_devices_and_continue_through_a_crash(
    tmp_path: Path, broker: Mosquitto, delegate: Path
) -> None:
    name = delegate.name
    crashing = {"library": str(delegate), "options": {"fault": "abort", "after": 60, "unless": str(tmp_path / "well")}}
    config = settings(broker, default="cpu", audio=crashing)
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        wait_until(lambda: name in node.devices("audio"), "the delegate runs the audio encoder")
        wait_until(lambda: node.accelerator(name).get("failures", {}).get("died"), "its process dies")
        (tmp_path / "well").touch()
        wait_until(lambda: node.accelerator(name).get("state") == "in_use", "it is used again")
        assert set(node.devices("image")) == {"cpu"}
        history = node.accelerator(name)["history"]
        assert (history[0]["state"], history[-1]["state"]) == ("in_use", "in_use")
        # on a busy machine answers come too late, too
        assert {change["failure"] for change in history} - {None, "hung", "slow"} == {"died"}
        died = next(change for change in history if change["failure"] == "died")
        assert (died["state"], died["reason"]) == ("failed", "its process was ended by SIGABRT")
        used = {
            "audio": {"wanted": name, "device": name, "reason": None, "absent_outputs": []},
            "image": {"wanted": "cpu", "device": "cpu", "reason": None, "absent_outputs": []},
        }
        wait_until(lambda: node.health["status"] == "ok" and node.health["encoders"].items() >= used.items(), "well")
        inputs = node.health["streams"]["s"]["inputs"]["audio"]
        assert set(inputs["dropped"]) <= {"busy", "late"}
        assert daemon.stop() == 0
        wait_until(lambda: node.accelerator(name)["state"] == "stopped", "the last health says that it has stopped")


def test_while_the_accelerator_fails_health_is_degraded_and_the_cpu_recognises(
    tmp_path: Path, broker: Mosquitto, delegate: Path
) -> None:
    config = settings(broker, audio={"library": str(delegate), "options": {"fault": "refuse"}})
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        expected = {"wanted": delegate.name, "device": "cpu", "reason": f"{delegate} refuses: refused, as asked"}
        expected["absent_outputs"] = []
        wait_until(lambda: node.health.get("encoders", {}).get("audio") == expected, "the CPU runs the encoder")
        wait_until(lambda: node.health["status"] == "degraded", "health is degraded")
        wait_until(lambda: node.devices("audio"), "sound is recognised")
        assert set(node.devices("audio")) == {"cpu"}
        assert daemon.stop() == 0


def test_a_killed_daemon_leaves_no_accelerator_process(tmp_path: Path, broker: Mosquitto, delegate: Path) -> None:
    config = settings(broker, default={"library": str(delegate)})
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        wait_until(lambda: node.accelerator(delegate.name).get("state") == "in_use", "in use")
        children = children_of(daemon.process.pid, ACCELERATOR_MAIN)
        assert len(children) == 1, "one process for one accelerator, for all encoders"
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.wait(60)
        wait_until(lambda: not is_running(children[0]), "the child has ended too")


def test_auto_starts_no_process_and_loads_no_library_without_an_accelerator(tmp_path: Path, broker: Mosquitto) -> None:
    config = settings(broker)
    del config["devices"]
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        wait_until(lambda: node.devices("audio") and node.devices("image"), "it recognises")
        pid = daemon.process.pid
        assert [child for child in children_of(pid, "") if child != pid] == []
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "ai_edge_litert" in mapped or "tflite_runtime" in mapped
        for library in ("WebGpu", "libvulkan", "libOpenCL", "libcuda", "libedgetpu"):
            assert library not in mapped
        wait_until(lambda: "encoders" in node.health, "health")
        cpu = {"wanted": "auto", "device": "cpu", "reason": None, "absent_outputs": []}
        assert node.health["encoders"] == dict.fromkeys(("image", "audio", "text"), cpu)
        assert node.health["accelerators"] == {}
        assert daemon.stop() == 0


@pytest.fixture
def bundle_with_edgetpu_model(tmp_path: Path) -> Path:
    """The shipped bundle with a file for an Edge TPU beside its audio model."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for path in DIGITS.iterdir():
        if path.name != "bundle.yaml":
            (bundle / path.name).symlink_to(path)
    manifest = yaml.safe_load((DIGITS / "bundle.yaml").read_text())
    manifest["modalities"]["audio"]["edgetpu"] = "audio_edgetpu.tflite"
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    (bundle / "audio_edgetpu.tflite").write_bytes((DIGITS / "audio.tflite").read_bytes())
    return bundle


def test_a_missing_edge_tpu_is_reported_and_the_cpu_recognises(
    tmp_path: Path, broker: Mosquitto, bundle_with_edgetpu_model: Path
) -> None:
    config = settings(broker, bundle_with_edgetpu_model, default="edgetpu")
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        wait_until(lambda: node.accelerator("edgetpu:usb:0").get("state") == "absent", "it is absent")
        encoders = node.health["encoders"]
        assert encoders["audio"]["device"] == "cpu"
        assert "no USB device 1a6e:089a or 18d1:9302 is plugged in" in encoders["audio"]["reason"]
        assert "no model of this encoder that is compiled for an Edge TPU" in encoders["image"]["reason"]
        wait_until(lambda: node.devices("audio"), "sound is recognised")
        assert set(node.devices("audio")) == {"cpu"}
        assert children_of(daemon.process.pid, ACCELERATOR_MAIN) == []
        assert "image runs on the CPU: the bundle has no model of this encoder that is compiled" in daemon.log
        assert "edgetpu:usb:0: there is no Edge TPU usb:0: no USB device" in daemon.log
        assert daemon.stop() == 0


@pytest.mark.alone  # a busy machine drops sound by itself, because encoding takes too long
def test_the_accelerator_passes_from_one_bundle_to_the_next(tmp_path: Path, broker: Mosquitto, delegate: Path) -> None:
    repository = Repository(tmp_path / "publisher").init()
    repository.add(another_version(DIGITS, "9.0.0", tmp_path / "newer"))
    repository.publish()
    config = settings(broker, default="cpu", audio={"library": str(delegate)})
    config["models"] = {"source": repository.public.as_uri(), "root": str(repository.root), "automatic": False}
    with Subscriber(broker, "perceptd/n/#") as subscriber, DaemonProcess(config, tmp_path) as daemon:
        node = WatchedNode(subscriber)
        wait_until(lambda: delegate.name in node.devices("audio"), "the delegate runs for the old bundle")
        (old,) = children_of(daemon.process.pid, ACCELERATOR_MAIN)
        broker.publish("perceptd/n/command/models_install", b'{"version": "9.0.0"}')
        wait_until(
            lambda: node.has_run("digits@9.0.0", "audio", delegate.name), "the delegate runs for the new bundle", 60
        )
        assert not is_running(old)
        assert len(children_of(daemon.process.pid, ACCELERATOR_MAIN)) == 1
        assert node.health["streams"]["s"]["inputs"]["audio"]["dropped"] == {}
        assert daemon.stop() == 0
