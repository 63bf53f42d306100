"""The files of the bundle that a running daemon uses are truncated, overwritten and restored."""

import json
from pathlib import Path

from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import DaemonProcess
from tests.helpers.hostile_files import overwrite, truncate
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.node.test_daemon import write_clip

BASE = "perceptd/files"


def test_what_happens_to_the_files_of_a_running_bundle_changes_nothing_but_health(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    write_clip(tmp_path / "clip.mp4", 30, passages=[("dark", 8), ("bright", 8)])
    files = {path: path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}
    with Mosquitto() as broker, Subscriber(broker, f"{BASE}/#") as subscriber:
        config = {
            "node": "files",
            "bundle": str(bundle),
            "mqtt": {"port": broker.port, "recognitions": {"publish": "every"}},
            "devices": {"image_workers": 2},
            "streams": {"s": {"replay": {"file": str(tmp_path / "clip.mp4"), "loop": True}}},
        }

        def change() -> str | None:
            payloads = subscriber.payloads(f"{BASE}/health")
            return json.loads(payloads[-1])["bundle_changed"] if payloads else "no health yet"

        def labels() -> list[str]:
            return [json.loads(payload)["label"] for payload in subscriber.payloads(f"{BASE}/s/recognition")]

        def goes_on() -> None:
            """Both labels of the clip are recognised anew."""
            before = len(labels())
            wait_until(lambda: set(labels()[before:]) == {"bright", "dark"}, "recognitions")

        with DaemonProcess(config, tmp_path) as daemon:
            wait_until(lambda: change() is None, "health")
            goes_on()
            for damage in (truncate, overwrite):
                for path in files:
                    damage(path)
                wait_until(lambda: "bundle.yaml has changed" in (change() or ""), f"{damage.__name__} shows in health")
                assert f"and {len(files) - 3} more; restart perceptd" in (change() or "")
                goes_on()
                for path, content in files.items():
                    path.write_bytes(content)
                wait_until(lambda: change() is None, f"{damage.__name__}: the files are restored")
            assert daemon.log.count("differs from") == daemon.log.count("holds again what runs") == 2
            assert daemon.stop() == 0
