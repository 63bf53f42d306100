"""Runs a node that publishes events, while faults befall the file of its outbox."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.mqtt.outbox.entries import Entry
from daemon.mqtt.outbox.store import OutboxStore
from tests.helpers.mosquitto import wait_until
from tests.helpers.shortages import few_descriptors

TOPIC = "perceptd/bench/bench/event"
DONE_S = 300.0

# more events than any test has
ENDLESS = 1 << 40


@dataclass
class FaultyNode:
    """A node of `benchmarks.outbox_node` that publishes `rate` events a second. Each method is a fault."""

    state: Path
    port: int
    rate: float
    chance: random.Random

    def __post_init__(self) -> None:
        self._accepted_path = self.state.with_name("accepted")
        self._accepted_path.touch()
        self.dropped: dict[str, int] = {}
        self._runs = 0
        self._start()

    def late(self) -> None:
        """An earlier run has left events, and the store cannot be opened at the start; a little later it can."""
        self._process.terminate()
        self._count_dropped()
        other = OutboxStore(self.state / "outbox.sqlite3")
        left = [self._left(other.last_sequence + number) for number in range(1, 21)]
        other.write(left, [], queued=0)
        self._start()
        self._pause(0.6)
        other.close()
        # events that a node has never seen cannot outlive the removal of their directory
        wait_until(self._has_opened, "the node opens the store")
        self._pause(0.6)

    def removed(self) -> None:
        """The state directory is taken away."""
        self._pause(0.6)
        gone = self.state.with_name(f"gone {self.chance.random()}")
        if self.state.exists():  # the node has not made it again yet after the fault before
            self.state.rename(gone)

    def descriptors(self) -> None:
        """For a second the node can open nothing."""
        self._pause(0.6)
        with few_descriptors(self._process.pid):
            time.sleep(1.0)

    def finish(self, least: int) -> list[str]:
        """Wait until so many events are accepted and all have arrived; return the id and phase of each of them."""
        wait_until(lambda: len(self._accepted()) >= least, "enough events", DONE_S)
        self._process.send_signal(signal.SIGUSR1)
        self._count_dropped()
        return self._accepted()

    def befall(self, faults: Sequence[str]) -> None:
        """Let faults befall the node, one after the other."""
        for fault in faults:
            getattr(self, fault)()

    def _has_opened(self) -> bool:
        """Whether the node has the store open for longer than it waits for a lock."""
        looks = []
        for _ in range(2):
            looks.append(str(self.state / "outbox.sqlite3") in open_files(self._process.pid))
            time.sleep(0.2)
        return all(looks)

    def _accepted(self) -> list[str]:
        return self._accepted_path.read_text().splitlines()

    def _left(self, number: int) -> Entry:
        """An event that an earlier run has left in the store."""
        event = f"left {self._runs} {number}"
        with self._accepted_path.open("a") as accepted:
            accepted.write(f"{event} end\n")
        payload = {"schema": 1, "sequence": number, "id": event, "phase": "end", "node": "bench"}
        return Entry(number, "bench/event", event, "end", json.dumps(payload, separators=(",", ":")).encode())

    def _start(self) -> None:
        self._runs += 1
        before = len(self._accepted())
        command = [sys.executable, "-m", "benchmarks.outbox_node", "--port", str(self.port), "--state", str(self.state)]
        command += ["--run", str(self._runs), "--count", str(ENDLESS), "--rate", str(self.rate)]
        command += ["--accepted", str(self._accepted_path)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        wait_until(lambda: len(self._accepted()) > before, "a first event")

    def _count_dropped(self) -> None:
        line = self._process.communicate(timeout=DONE_S)[0]
        assert self._process.returncode == 0
        for reason, number in json.loads(line).items():
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def _pause(self, most_s: float) -> None:
        time.sleep(self.chance.uniform(0.1, most_s))


def open_files(pid: int) -> set[str]:
    """The paths of the files that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found.add(str(link.readlink()))
    return found


def steps(payloads: Sequence[bytes]) -> list[str]:
    """The id and phase of each payload, once, in the order of their first arrival."""
    parsed = map(json.loads, payloads)
    return list(dict.fromkeys(f"{payload['id']} {payload['phase']}" for payload in parsed))
