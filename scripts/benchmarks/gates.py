"""Measures what gates save on a recording that is quiet nine tenths of the time: the real bundle with and without."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from demo import broker
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.process import cpu_s, daemon_command
from benchmarks.quiet import QuietClip, build_listening_bundle

ROOT = Path(__file__).resolve().parents[2]
SHARED_MODELS = ROOT.parent / "shared" / "models"
GATES = {"motion": {}, "sound": {}}
# Seconds at the beginning and the end of a run that are not measured.
MARGIN_S = 1.0

TARGETS = {"cpu": 8.0, "onset_ms": 100.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One pass: processor seconds per second, events as (label, seconds from the start of the pass), and counts."""

    cpu: float
    events: list[tuple[str, float]]
    inputs: dict


class Listener:
    """Subscribes to a node, and stores its events and counts."""

    def __init__(self, port: int, node: str) -> None:
        self.begun = threading.Event()
        self._began_s = 0.0
        self._events: list[tuple[str, float]] = []
        self.inputs: dict = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._receive
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"perceptd/{node}/#")
        self._client.loop_start()

    @property
    def events(self) -> list[tuple[str, float]]:
        """Label and time of each started event, in seconds after the first picture."""
        return [(label, started_s - self._began_s) for label, started_s in self._events]

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _receive(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        if kind not in ("recognition", "event", "health"):
            return
        payload = json.loads(message.payload)
        if kind == "health":
            self.inputs = payload["streams"]["bench"]["inputs"]
        elif kind == "event" and payload["phase"] == "start":
            self._events.append((payload["label"], _epoch_s(payload["started"])))
        elif kind == "recognition" and not self.begun.is_set():
            self._began_s = _epoch_s(payload["time"])
            self.begun.set()


def main() -> int:
    """Print the table; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench gates", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the recording (default: 60)")
    parser.add_argument(
        "--pairs", type=int, default=1, help="how often it is played both without and with gates (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    if not SHARED_MODELS.is_dir():
        parser.error(f"there are no models in {SHARED_MODELS}")
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        directory, clip = Path(name), QuietClip(options.seconds)
        clip.write(directory / "clip.mp4")
        build_listening_bundle(SHARED_MODELS, directory / "bundle", clip)
        without, gated = [], []
        for _ in range(options.pairs):
            without.append(_run(directory, port, options.seconds, {}))
            gated.append(_run(directory, port, options.seconds, GATES))
    result = _result(without, gated)
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["met"] else 1


def _run(directory: Path, port: int, seconds: float, gates: dict) -> Run:
    node = f"bench-{'gated' if gates else 'without'}"
    config = directory / f"{node}.yaml"
    config.write_text(yaml.safe_dump(_config(node, directory, port, gates)))
    listener = Listener(port, node)
    process = subprocess.Popen([str(part) for part in daemon_command(config)])
    try:
        if not listener.begun.wait(30):
            raise SystemExit("the daemon published no recognition within 30 s")
        time.sleep(MARGIN_S)
        before_s, began = cpu_s(process.pid), time.monotonic()
        time.sleep(seconds - 2 * MARGIN_S)
        used = (cpu_s(process.pid) - before_s) / (time.monotonic() - began)
        process.wait(30)
    finally:
        process.kill()
        listener.close()
    return Run(used, listener.events, listener.inputs)


def _config(node: str, directory: Path, port: int, gates: dict) -> dict:
    replay = {"file": str(directory / "clip.mp4"), "loop": False}
    return {
        "node": node,
        "bundle": str(directory / "bundle"),
        "state_directory": str(directory / node),
        "log_level": "warning",
        "mqtt": {"port": port},
        "streams": {"bench": {"replay": replay, "text": {"enabled": False}, "gates": gates}},
    }


def _result(without: list[Run], gated: list[Run]) -> dict:
    pairs = list(zip(without, gated, strict=True))
    ratios = [one.cpu / other.cpu for one, other in pairs]
    same = all([label for label, _ in one.events] == [label for label, _ in other.events] for one, other in pairs)
    later_ms = [
        (late_s - early_s) * 1000
        for one, other in pairs
        for (_, early_s), (_, late_s) in zip(one.events, other.events, strict=False)
    ]
    has_events = same and bool(later_ms)
    return {
        "cpu": {
            "without": _median(without),
            "gated": _median(gated),
            "ratio": statistics.median(ratios),
            "all": ratios,
        },
        "events": {"without": without[-1].events, "gated": gated[-1].events, "same": same, "later_ms": later_ms},
        "inputs": {"without": without[-1].inputs, "gated": gated[-1].inputs},
        "met": has_events and statistics.median(ratios) >= TARGETS["cpu"] and max(later_ms) <= TARGETS["onset_ms"],
    }


def _median(runs: list[Run]) -> float:
    return statistics.median(run.cpu for run in runs)


def _table(result: dict) -> str:
    cpu, events = result["cpu"], result["events"]
    each = ", ".join(f"{ratio:.2f}" for ratio in cpu["all"])
    lines = [f"{'quiet nine tenths of the time':<44}{'without':>12}{'gated':>12}"]
    lines.append(f"{'CPU, ms a second':<44}{cpu['without'] * 1000:12.1f}{cpu['gated'] * 1000:12.1f}")
    for modality in ("image", "audio"):
        encoded = [result["inputs"][which][modality]["encoded"] for which in ("without", "gated")]
        lines.append(f"{f'encoded ({modality})':<44}{encoded[0]:12}{encoded[1]:12}")
    for which in ("without", "gated"):
        listed = ", ".join(f"{label} at {at_s:.3f} s" for label, at_s in events[which])
        lines.append(f"events {which}: {listed}")
    lines.append(f"the same events: {'yes' if events['same'] else 'NO'}")
    lines.append(f"onsets later by, ms: {', '.join(f'{late:.0f}' for late in events['later_ms'])}")
    lines.append(f"CPU, without / gated: {cpu['ratio']:.2f} (pairs: {each})")
    lines.append(
        f"targets: at least {TARGETS['cpu']:g} x, the same events, onsets at most {TARGETS['onset_ms']:.0f} ms later: "
        f"{'met' if result['met'] else 'MISSED'}"
    )
    return "\n".join(lines)


def _epoch_s(time_text: str) -> float:
    return datetime.fromisoformat(time_text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    sys.exit(main())
