"""A process measured from outside while it publishes: processor time, memory, and the latency its subscriber sees."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

WARM_UP_S = 4.0
STOP_DEADLINE_S = 6.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run came to; latencies are those of moments that a picture made."""

    moments: int
    cpu_ms_a_moment: float
    latencies_ms: list[float]
    peak_pss_mb: float


class Subscriber:
    """Counts moments and their latency, by the wall clock of this machine."""

    def __init__(self, port: int, topic: str) -> None:
        self.moments = 0
        self.latencies_ms: list[float] = []
        self._lock = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic)
        self._client.loop_start()

    def restart(self) -> None:
        """Forget what was counted so far."""
        with self._lock:
            self.moments, self.latencies_ms = 0, []

    def close(self) -> None:
        """Stop counting."""
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        now = time.time()
        captured = captured_at(json.loads(message.payload))
        with self._lock:
            self.moments += 1
            if captured is not None:
                self.latencies_ms.append((now - captured) * 1000)


def captured_at(payload: dict) -> float | None:
    """When the newest picture of a moment was captured, if it is what made the moment; seconds since 1970."""
    if "captured" in payload:
        return payload["captured"]
    image = payload["modalities"].get("image")
    if image is None or image["age_ms"] > 0:
        return None
    whole, _, rest = payload["time"].removesuffix("Z").partition(".")
    seconds = time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    return seconds + float(f"0.{rest}")


def measure(command: Sequence[str | Path], port: int, topic: str, seconds: float) -> Measured:
    """Run a command, and measure it from the end of its warm-up for so many seconds."""
    subscriber = Subscriber(port, topic)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(part) for part in command], stderr=errors)
        try:
            _wait_for_first(subscriber, process, errors)
            return _measure(process.pid, subscriber, seconds)
        finally:
            subscriber.close()
            _stop(process)


def _measure(pid: int, subscriber: Subscriber, seconds: float) -> Measured:
    time.sleep(WARM_UP_S)
    subscriber.restart()
    used_before_s, end = cpu_s(pid), time.monotonic() + seconds
    peak_pss_mb = 0.0
    while time.monotonic() < end:
        peak_pss_mb = max(peak_pss_mb, pss_mb(pid))
        time.sleep(0.5)
    moments, latencies_ms = subscriber.moments, list(subscriber.latencies_ms)
    return Measured(moments, (cpu_s(pid) - used_before_s) * 1000 / max(1, moments), latencies_ms, peak_pss_mb)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise SystemExit(f"did not stop within {STOP_DEADLINE_S} s: {process.args}") from None


def _wait_for_first(subscriber: Subscriber, process: "subprocess.Popen[bytes]", errors: TextIO) -> None:
    deadline = time.monotonic() + 30
    while subscriber.moments == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            errors.seek(0)
            raise SystemExit(f"no moment came from {process.args}: {errors.read()}")
        time.sleep(0.05)


def cpu_s(pid: int) -> float:
    """Processor time used so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_mb(pid: int) -> float:
    """The memory that a process has allocated: unlike PSS, it does not depend on who else maps the same libraries."""
    return _smaps_mb(pid, "Pss_Anon:")


def pss_mb(pid: int) -> float:
    """The memory of a process, its share of what it shares included, in MB."""
    return _smaps_mb(pid, "Pss:")


def _smaps_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
