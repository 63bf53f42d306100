"""Measures a recording at full speed, with one thread that encodes pictures and with several, in turn.

For comparison it measures as many bare interpreters, each in a thread.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from demo import broker
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.bare import Net
from benchmarks.bundles import IMAGE, SHARED_MODELS, build_real_bundle
from benchmarks.clip import FPS, write_clip
from benchmarks.measured import captured_at
from benchmarks.process import daemon_command

TARGET = 1.7
BARE_S = 3.0
PASS_S = 120.0


def main() -> int:
    """Print the table; the exit code is 1 when two workers do less than the target."""
    parser = argparse.ArgumentParser(prog="scripts/bench workers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="how often all variants run in turn (default: 3)")
    parser.add_argument("--workers", type=int, default=2, help="number of threads to compare with one (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    if not SHARED_MODELS.is_dir():
        parser.error(f"there are no models in {SHARED_MODELS}")
    counts = (1, options.workers)
    rates: dict[str, list[list[float]]] = {"bare": [], "daemon": []}
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        bundle, clip = Path(name) / "bundle", Path(name) / "clip.mp4"
        build_real_bundle(SHARED_MODELS, bundle)
        write_clip(clip)
        for turn in range(options.pairs):
            rates["bare"].append([_bare_rate(bundle / IMAGE, count) for count in counts])
            rates["daemon"].append([_pass_rate(_config(Path(name), bundle, clip, port, n), port) for n in counts])
            if not options.json:
                print(f"pair {turn + 1} of {options.pairs} done", file=sys.stderr, flush=True)
    result = {"workers": options.workers, **{who: _figures(pairs) for who, pairs in rates.items()}}
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["daemon"]["ratio"] >= TARGET else 1


def _bare_rate(model: Path, count: int) -> float:
    """Invokes a second of `count` interpreters at the same time."""
    nets = [Net(model) for _ in range(count)]
    picture = np.random.default_rng(1).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    invokes = [0] * count
    end = time.monotonic() + BARE_S

    def work(index: int) -> None:
        while time.monotonic() < end:
            nets[index](picture)
            invokes[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(invokes) / BARE_S


def _config(directory: Path, bundle: Path, clip: Path, port: int, workers: int) -> Path:
    """A config with default values. Recognitions stay limited to five a second, because only encoding is measured."""
    config = {
        "node": "bench-workers",
        "bundle": str(bundle),
        "log_level": "warning",
        "state_directory": str(directory / "state"),
        "devices": {"default": "cpu", "image_workers": workers},
        "mqtt": {"port": port},
        "streams": {"bench": {"replay": {"file": str(clip), "pace": "fast", "loop": False}}},
    }
    path = directory / f"{workers}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _pass_rate(config: Path, port: int) -> float:
    """Pictures a second over one pass, from the first recognised picture to the last, without the start."""
    received: list[tuple[float, float]] = []

    def receive(_client: Client, _data: object, message: MQTTMessage) -> None:
        captured = captured_at(json.loads(message.payload))
        if captured is not None:
            received.append((time.monotonic(), captured))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = receive
    client.connect("127.0.0.1", port)
    client.subscribe("perceptd/bench-workers/+/recognition")
    client.loop_start()
    try:
        subprocess.run([str(part) for part in daemon_command(config)], check=True, timeout=PASS_S)
    finally:
        client.disconnect()
        client.loop_stop()
    (began, first), (ended, last) = received[0], received[-1]
    return (last - first) * FPS / (ended - began)


def _figures(pairs: list[list[float]]) -> dict[str, Any]:
    ratios = [several / one for one, several in pairs]
    one, several = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    return {"one": one, "several": several, "ratio": statistics.median(ratios), "all": ratios}


def _table(result: dict[str, Any]) -> str:
    lines = [f"{'pictures a second':<40}{'one':>10}{result['workers']:>10}{'ratio':>8}"]
    for who, name in (
        ("daemon", "daemon, MobileNetV2 int8 and YAMNet"),
        ("bare", "bare interpreters, MobileNetV2 alone"),
    ):
        row = result[who]
        each = ", ".join(f"{ratio:.2f}" for ratio in row["all"])
        lines.append(f"{name:<40}{row['one']:10.1f}{row['several']:10.1f}{row['ratio']:8.2f}  (pairs: {each})")
    met = "met" if result["daemon"]["ratio"] >= TARGET else "MISSED"
    lines.append(f"target: at least {TARGET} x the pictures a second of one thread: {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
