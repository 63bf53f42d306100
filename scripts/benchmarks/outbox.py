"""What becomes of events when the daemon, its connection or its broker die at random; and how fast they drain."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.outbox_store import Entry, OutboxStore
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy

NODE, TOPIC = "bench", "perceptd/bench/bench/event"
DONE_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What was written to the outbox, by sequence, and what a subscriber heard of it."""

    written: int
    missing: list[int]
    repeated: int
    changed: int
    out_of_order: int
    unended: int
    left: int

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"written to the outbox        {self.written}",
            f"still in the outbox          {self.left}",
            f"acknowledged, never heard    {len(self.missing)}",
            f"heard more than once         {self.repeated} (with another content: {self.changed})",
            f"out of order                 {self.out_of_order}",
            f"events without an end        {self.unended}",
        ]


def endure(count: int, rate: float, blows: list[str], seed: int) -> Outcome:
    """Publish `count` steps of events while blows fall at random moments: "kill" the daemon, "cut" it off, or "broker".

    The subscriber is connected all the time, but while the broker is dead; both remember its session.
    """
    chance = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as directory, Mosquitto(persists=True) as broker, Proxy(broker.port) as proxy:
        state = Path(directory)
        with Subscriber(broker, TOPIC, keeps_session=True) as subscriber:
            runs = 0
            node = _start(proxy.port, state, runs, count, rate)
            for blow in chance.permutation(blows):
                time.sleep(chance.uniform(0.1, 1.5))
                if blow == "cut":
                    proxy.cut()
                elif blow == "broker":
                    broker.kill()
                    time.sleep(chance.uniform(0, 1.0))
                    broker.start()
                    subscriber.wait_subscribed()
                else:
                    node.kill()
                    node.wait()
                    runs += 1
                    node = _start(proxy.port, state, runs, count, rate)
            if node.wait(DONE_S) != 0:
                raise RuntimeError("the last run did not end well")
            written, left = _in_store(state)
            _settle(subscriber)
            return _judge(written, left, [json.loads(heard) for heard in subscriber.payloads(TOPIC)])


def drain(count: int) -> float:
    """Seconds that a broker takes to get `count` events that wait in the outbox."""
    with tempfile.TemporaryDirectory() as directory, Mosquitto() as broker:
        state = Path(directory)
        fill(state, count)
        with Subscriber(broker, TOPIC) as subscriber:
            session = Session(MqttConfig(port=broker.port), NODE, state)
            began = time.monotonic()
            session.start({})
            wait_until(lambda: len(subscriber.heard) >= count, f"{count} events", DONE_S)
            took_s = time.monotonic() - began
            session.stop(5.0)
        if [json.loads(heard.payload)["sequence"] for heard in subscriber.heard] != list(range(1, count + 1)):
            raise RuntimeError("not every event arrived once and in order")
    return took_s


def fill(state: Path, count: int) -> None:
    """An outbox as it is after an outage: `count` events, as long as real ones are."""
    store = OutboxStore(state / "outbox.sqlite3")
    text = '{"schema":1,"sequence":%d,"filler":"' + "x" * 300 + '"}'
    for start in range(1, count + 1, 1000):
        numbers = range(start, min(start + 1000, count + 1))
        store.write([Entry(n, "bench/event", str(n), "end", (text % n).encode()) for n in numbers], [], queued=0)
    store.close()


def _start(port: int, state: Path, run: int, count: int, rate: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.outbox_node", "--port", str(port), "--state", str(state)]
    return subprocess.Popen([*command, "--run", str(run), "--count", str(count), "--rate", str(rate)])


def _in_store(state: Path) -> tuple[int, int]:
    store = OutboxStore(state / "outbox.sqlite3")
    try:
        return store.last_sequence, store.count
    finally:
        store.close()


def _settle(subscriber: Subscriber) -> None:
    """Wait until nothing comes any more."""
    before = -1
    while len(subscriber.heard) != before:
        before = len(subscriber.heard)
        time.sleep(1.0)


def _judge(written: int, left: int, heard: list[dict[str, object]]) -> Outcome:
    first: dict[int, dict[str, object]] = {}
    repeated = changed = 0
    for payload in heard:
        sequence = int(str(payload["sequence"]))
        if sequence in first:
            repeated += 1
            changed += payload != first[sequence]
        first.setdefault(sequence, payload)
    arrived = list(first)
    return Outcome(
        written=written,
        missing=sorted(set(range(1, written + 1)) - first.keys()),
        repeated=repeated,
        changed=changed,
        out_of_order=sum(later < earlier for earlier, later in pairwise(arrived)),
        unended=len({p["id"] for p in heard} - {p["id"] for p in heard if p["phase"] == "end"}),
        left=left,
    )


def main() -> int:
    """Everything at its full size; some minutes."""
    arguments = _parser().parse_args()
    parts: list[tuple[str, Callable[[], Outcome]]] = [
        ("daemon killed 20 times, connection cut 20 times", lambda: _full(arguments, ["kill"] * 20 + ["cut"] * 20)),
        ("broker killed 20 times", lambda: _full(arguments, ["broker"] * 20)),
    ]
    for name, part in parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        print(f"\n{name}", *part().lines(), sep="\n  ", flush=True)
    print("\nan hour without a broker at 10 events a second ...", file=sys.stderr, flush=True)
    print(f"\nan outage of an hour at 10 events a second\n  drained at {36_000 / drain(36_000):.0f} events a second")
    return 0


def _full(arguments: argparse.Namespace, blows: list[str]) -> Outcome:
    return endure(arguments.count, arguments.rate, blows, arguments.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench outbox", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="steps of events in each part (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
