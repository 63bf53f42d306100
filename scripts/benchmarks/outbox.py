"""Measures events during random failures of the daemon, its connection and its broker; and how fast they drain."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy

NODE, TOPIC = "bench", "perceptd/bench/bench/event"
DONE_S = 300.0

# Lines of mosquitto.conf. With each of them no event may be lost, because every event fits.
LIMITS = ["max_packet_size 1500", "retain_available false", "max_qos 0"]


@dataclass(frozen=True)
class Outcome:
    """Events written to the outbox, and what a subscriber received of them. Lists hold sequence numbers."""

    written: int
    missing: list[int]
    repeated: int
    changed: int
    out_of_order: int
    without_end: int
    remaining: int

    def lines(self) -> list[str]:
        """The outcome as lines for people."""
        return [
            f"written to the outbox        {self.written}",
            f"still in the outbox          {self.remaining}",
            f"acknowledged, not received   {len(self.missing)}",
            f"received more than once      {self.repeated} (with other content: {self.changed})",
            f"out of order                 {self.out_of_order}",
            f"events without an end        {self.without_end}",
        ]


def endure(
    count: int, rate: float, failures: list[str], seed: int, limits: Sequence[str] = (), *, spares_disk: bool = True
) -> Outcome:
    """Publish `count` steps of events during random failures.

    A failure is "kill" (the daemon), "cut" (its connection) or "broker" (the broker is killed). The subscriber stays
    connected except while the broker is dead. Broker and subscriber store the session. `limits` are lines of
    mosquitto.conf. `spares_disk`: with a directory in memory, as a service has one.
    """
    chance = np.random.default_rng(seed)
    with (
        tempfile.TemporaryDirectory() as directory,
        Mosquitto(persists=True, more=limits) as broker,
        Proxy(broker.port) as proxy,
    ):
        state = Path(directory) / "state"
        memory = Path(directory) / "memory" if spares_disk else None
        with Subscriber(broker, TOPIC, keeps_session=True) as subscriber:
            runs = 0
            node = _start(proxy.port, state, memory, runs, count, rate)
            for failure in chance.permutation(failures):
                time.sleep(chance.uniform(0.1, 1.5))
                if failure == "cut":
                    proxy.cut()
                elif failure == "broker":
                    broker.kill()
                    time.sleep(chance.uniform(0, 1.0))
                    broker.start()
                    subscriber.wait_subscribed()
                else:
                    node.kill()
                    node.wait()
                    runs += 1
                    node = _start(proxy.port, state, memory, runs, count, rate)
            if node.wait(DONE_S) != 0:
                raise RuntimeError("the last run of the node failed")
            written, remaining = _in_store(state)
            _settle(subscriber)
            return _outcome(written, remaining, [json.loads(heard) for heard in subscriber.payloads(TOPIC)])


def drain(count: int) -> float:
    """Seconds until a broker has received `count` events that wait in the outbox."""
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
    """Write an outbox as it is after an outage: `count` events of realistic length."""
    store = OutboxStore(state / "outbox.sqlite3")
    text = '{"schema":1,"sequence":%d,"node":"bench","filler":"' + "x" * 300 + '"}'
    for start in range(1, count + 1, 1000):
        numbers = range(start, min(start + 1000, count + 1))
        store.write([Entry(n, "bench/event", str(n), "end", (text % n).encode()) for n in numbers], [], queued=0)
    store.close()


def _start(port: int, state: Path, memory: Path | None, run: int, count: int, rate: float) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.outbox_node", "--port", str(port), "--state", str(state)]
    command += [] if memory is None else ["--memory", str(memory)]
    return subprocess.Popen([*command, "--run", str(run), "--count", str(count), "--rate", str(rate)])


def _in_store(state: Path) -> tuple[int, int]:
    store = OutboxStore(state / "outbox.sqlite3")
    try:
        return store.last_sequence, store.count
    finally:
        store.close()


def _settle(subscriber: Subscriber) -> None:
    """Wait until no more messages arrive."""
    before = -1
    while len(subscriber.heard) != before:
        before = len(subscriber.heard)
        time.sleep(1.0)


def _outcome(written: int, remaining: int, heard: list[dict[str, object]]) -> Outcome:
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
        without_end=len({p["id"] for p in heard} - {p["id"] for p in heard if p["phase"] == "end"}),
        remaining=remaining,
    )


def main() -> int:
    """Run all parts at full size; takes some minutes."""
    arguments = _parser().parse_args()
    parts: list[tuple[str, Callable[[], Outcome]]] = [
        ("daemon killed 20 times, connection cut 20 times", lambda: _full(arguments, ["kill"] * 20 + ["cut"] * 20)),
        ("broker killed 20 times", lambda: _full(arguments, ["broker"] * 20)),
        *(
            (f"{limit}, daemon killed 20 times, connection cut 20 times", partial(_limited, arguments, limit))
            for limit in LIMITS
        ),
    ]
    for name, part in parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        print(f"\n{name}", *part().lines(), sep="\n  ", flush=True)
    print("\nan hour without a broker at 10 events a second ...", file=sys.stderr, flush=True)
    print(
        f"\nan hour without a broker at 10 events a second\n  drained at {36_000 / drain(36_000):.0f} events a second"
    )
    return 0


def _full(arguments: argparse.Namespace, failures: list[str]) -> Outcome:
    return endure(arguments.count, arguments.rate, failures, arguments.seed)


def _limited(arguments: argparse.Namespace, limit: str) -> Outcome:
    return endure(arguments.count, arguments.rate, ["kill"] * 20 + ["cut"] * 20, arguments.seed, [limit])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench outbox", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=10_000, help="number of steps of events in each part (default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, default=500.0, help="events a second (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the random times of failure (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
