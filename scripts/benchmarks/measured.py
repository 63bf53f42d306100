"""Measures a process from outside while it publishes: processor time, memory, and latency at a subscriber."""

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
SAMPLE_EVERY_S = 0.5
# More than the rounding of ages, and less than the interval between pictures.
SAME_PICTURE_S = 0.005


@dataclass(slots=True)
class TopicStats:
    """The moments of one topic: how many, and the latency of the first moment with each picture."""

    moments: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    newest_s: float = 0.0

    def add(self, captured_s: float | None, now_s: float) -> None:
        """Count a moment whose picture was captured at `captured_s`; times are seconds since 1970."""
        self.moments += 1
        if captured_s is not None and captured_s > self.newest_s + SAME_PICTURE_S:
            self.newest_s = captured_s
            self.latencies_ms.append((now_s - captured_s) * 1000)


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one run: moments by topic, and what the process used meanwhile."""

    by_topic: dict[str, TopicStats]
    seconds: float
    cpu_ms: float
    footprints: list[Footprint]

    @property
    def moments(self) -> int:
        """Number of moments of all topics."""
        return sum(stats.moments for stats in self.by_topic.values())

    @property
    def latencies_ms(self) -> list[float]:
        """Latencies of all topics."""
        return [latency for stats in self.by_topic.values() for latency in stats.latencies_ms]

    @property
    def cpu_ms_a_moment(self) -> float:
        """Processor time for one moment."""
        return self.cpu_ms / max(1, self.moments)

    @property
    def peak_pss_mb(self) -> float:
        """The greatest PSS."""
        return max(sample.pss_mb for sample in self.footprints)


class Subscriber:
    """Counts moments and their latency by topic, by this machine's wall clock. It is subscribed once it is built."""

    def __init__(self, port: int, topic: str) -> None:
        """Raises SystemExit when the broker does not answer."""
        self.first_s: float | None = None
        self._stats: dict[str, TopicStats] = {}
        self._lock = threading.Lock()
        self._client = _subscribed(port, topic, self._receive)

    @property
    def topics(self) -> int:
        """Number of topics with a moment since the subscriber was built or restarted."""
        return len(self._stats)

    def restart(self) -> dict[str, TopicStats]:
        """Return the counts so far, and start again from zero."""
        with self._lock:
            stats, self._stats = self._stats, {}
        return stats

    def close(self) -> None:
        """Disconnect."""
        _close(self._client)

    def wait_for(self, topics: int, process: Running) -> None:
        """Wait until this many topics have a moment. Raises SystemExit if the process ends, or takes too long."""
        deadline = time.monotonic() + FIRST_DEADLINE_S
        while self.topics < topics:
            if process.has_ended or time.monotonic() > deadline:
                process.fail(f"the process published moments on {self.topics} topics, expected {topics}")
            time.sleep(0.05)

    def _receive(self, message: MQTTMessage) -> None:
        now = time.time()
        if self.first_s is None:
            self.first_s = time.monotonic()
        captured = captured_at(json.loads(message.payload))
        with self._lock:
            self._stats.setdefault(message.topic, TopicStats()).add(captured, now)


def retained(port: int, topic: str) -> dict:
    """The retained message of a topic. Raises SystemExit when there is none."""
    payloads: SimpleQueue[bytes] = SimpleQueue()
    client = _subscribed(port, topic, lambda message: payloads.put(message.payload))
    try:
        return json.loads(payloads.get(timeout=BROKER_DEADLINE_S))
    except Empty:
        raise SystemExit(f"the broker has no retained message on {topic}") from None
    finally:
        _close(client)


def _subscribed(port: int, topic: str, receive: Callable[[MQTTMessage], None]) -> Client:
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: receive(message)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topic)
    client.loop_start()
    if not subscribed.wait(BROKER_DEADLINE_S):
        raise SystemExit(f"the broker on port {port} did not accept a subscription within {BROKER_DEADLINE_S} s")
    return client


def _close(client: Client) -> None:
    client.disconnect()
    client.loop_stop()


def captured_at(payload: dict) -> float | None:
    """When the newest picture of a moment was captured, in seconds since 1970; None if the moment has no picture.

    Sound may be recognised before a picture that was captured earlier. Then the picture is older than its moment.
    """
    if "captured" in payload:
        return payload["captured"]
    image = payload["modalities"].get("image")
    if image is None:
        return None
    until_seconds, _, fraction = payload["time"].removesuffix("Z").partition(".")
    seconds = time.mktime(time.strptime(until_seconds, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    return seconds + float(f"0.{fraction}") - image["age_ms"] / 1000


def measure(
    command: Sequence[str | Path | float], port: int, topic: str, seconds: float, *, topics: int = 1
) -> Measured:
    """Run a command, wait until `topics` topics have a moment and caches are warm, and measure for `seconds`."""
    subscriber = Subscriber(port, topic)
    try:
        with running(command) as process:
            subscriber.wait_for(topics, process)
            time.sleep(WARM_UP_S)
            return measure_running(process, subscriber, seconds)
    finally:
        subscriber.close()


def measure_running(process: Running, subscriber: Subscriber, seconds: float) -> Measured:
    """Measure a process that runs already. Raises SystemExit if it ends meanwhile."""
    subscriber.restart()
    used_before_s, began = cpu_s(process.pid), time.monotonic()
    footprints = []
    while time.monotonic() < began + seconds:
        sample = footprint(process.pid)
        if sample is None:
            process.fail("the process ended while it was measured")
        footprints.append(sample)
        time.sleep(SAMPLE_EVERY_S)
    by_topic, took_s = subscriber.restart(), time.monotonic() - began
    return Measured(by_topic, took_s, (cpu_s(process.pid) - used_before_s) * 1000, footprints)


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
