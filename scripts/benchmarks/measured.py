"""A process measured from outside while it publishes: processor time, memory, and the latency its subscriber sees."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.process import Footprint, Running, cpu_s, footprint, running

FIRST_DEADLINE_S = 30.0
BROKER_DEADLINE_S = 5.0
WARM_UP_S = 4.0
LOOK_EVERY_S = 0.5
SAME_PICTURE_S = 0.005
"""Much more than ages are rounded by, and less than pictures are apart."""


@dataclass(slots=True)
class Taken:
    """What came on one topic: how many moments, and the latency of the first with each picture."""

    moments: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    newest_s: float = 0.0

    def add(self, captured_s: float | None, now_s: float) -> None:
        """One moment more, whose picture was captured then; times are seconds since 1970."""
        self.moments += 1
        if captured_s is not None and captured_s > self.newest_s + SAME_PICTURE_S:
            self.newest_s = captured_s
            self.latencies_ms.append((now_s - captured_s) * 1000)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run came to, by topic, and what the process used meanwhile."""

    by_topic: dict[str, Taken]
    seconds: float
    cpu_ms: float
    footprints: list[Footprint]

    @property
    def moments(self) -> int:
        """Of all topics."""
        return sum(taken.moments for taken in self.by_topic.values())

    @property
    def latencies_ms(self) -> list[float]:
        """Of all topics."""
        return [latency for taken in self.by_topic.values() for latency in taken.latencies_ms]

    @property
    def cpu_ms_a_moment(self) -> float:
        """Processor time for one moment."""
        return self.cpu_ms / max(1, self.moments)

    @property
    def peak_pss_mb(self) -> float:
        """The most memory it had."""
        return max(held.pss_mb for held in self.footprints)


class Subscriber:
    """Counts moments and their latency by topic, by the wall clock of this machine; subscribed once it is made."""

    def __init__(self, port: int, topic: str) -> None:
        """Raises SystemExit when the broker does not answer."""
        self.first_s: float | None = None
        self._taken: dict[str, Taken] = {}
        self._lock = threading.Lock()
        self._client = _subscribed(port, topic, self._take)

    @property
    def topics(self) -> int:
        """How many topics have spoken since it was made or restarted."""
        return len(self._taken)

    def restart(self) -> dict[str, Taken]:
        """Give what was counted so far, and forget it."""
        with self._lock:
            taken, self._taken = self._taken, {}
        return taken

    def close(self) -> None:
        """Stop counting."""
        _close(self._client)

    def wait_for(self, topics: int, process: Running) -> None:
        """Wait until so many topics have spoken. Raises SystemExit when the process ends before, or takes too long."""
        deadline = time.monotonic() + FIRST_DEADLINE_S
        while self.topics < topics:
            if process.has_ended or time.monotonic() > deadline:
                process.fail(f"moments came on {self.topics} topics, not {topics}")
            time.sleep(0.05)

    def _take(self, message: MQTTMessage) -> None:
        now = time.time()
        if self.first_s is None:
            self.first_s = time.monotonic()
        captured = captured_at(json.loads(message.payload))
        with self._lock:
            self._taken.setdefault(message.topic, Taken()).add(captured, now)


def retained(port: int, topic: str) -> dict:
    """What the broker keeps for a topic. Raises SystemExit when that is nothing."""
    kept: SimpleQueue[bytes] = SimpleQueue()
    client = _subscribed(port, topic, lambda message: kept.put(message.payload))
    try:
        return json.loads(kept.get(timeout=BROKER_DEADLINE_S))
    except Empty:
        raise SystemExit(f"nothing is retained as {topic}") from None
    finally:
        _close(client)


def _subscribed(port: int, topic: str, take: Callable[[MQTTMessage], None]) -> Client:
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: take(message)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topic)
    client.loop_start()
    if not subscribed.wait(BROKER_DEADLINE_S):
        raise SystemExit(f"the broker on port {port} took no subscription within {BROKER_DEADLINE_S} s")
    return client


def _close(client: Client) -> None:
    client.disconnect()
    client.loop_stop()


def captured_at(payload: dict) -> float | None:
    """When the newest picture of a moment was captured, in seconds since 1970; None where it has none, or does not say.

    Sound may be recognised before a picture that was captured earlier: then the picture is older than its moment.
    """
    if "captured" in payload:
        return payload["captured"]
    image = payload["modalities"].get("image")
    if image is None:
        return None
    whole, _, rest = payload["time"].removesuffix("Z").partition(".")
    seconds = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    return seconds + float(f"0.{rest}") - image["age_ms"] / 1000


def measure(
    command: Sequence[str | Path | float], port: int, topic: str, seconds: float, *, topics: int = 1
) -> Measured:
    """Run a command, and measure it for so many seconds once so many topics have spoken and it is warm."""
    subscriber = Subscriber(port, topic)
    try:
        with running(command) as process:
            subscriber.wait_for(topics, process)
            time.sleep(WARM_UP_S)
            return _measure(process, subscriber, seconds)
    finally:
        subscriber.close()


def _measure(process: Running, subscriber: Subscriber, seconds: float) -> Measured:
    subscriber.restart()
    used_before_s, began = cpu_s(process.pid), time.monotonic()
    footprints = []
    while time.monotonic() < began + seconds:
        held = footprint(process.pid)
        if held is None:
            process.fail("it ended while it was measured")
        footprints.append(held)
        time.sleep(LOOK_EVERY_S)
    by_topic, took_s = subscriber.restart(), time.monotonic() - began
    return Measured(by_topic, took_s, (cpu_s(process.pid) - used_before_s) * 1000, footprints)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
