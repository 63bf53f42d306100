"""The program of scripts/run: starts a private broker and the daemon, prints the received messages, and a summary."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import av
import yaml
from clip_score import EventStart, Passage, Score, score

from daemon.cli.render import Narrator
from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config, load_config
from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.mqtt.payloads import EventPayload, RecognitionPayload
from daemon.mqtt.subscriber import Received, watch

ROOT = Path(__file__).resolve().parent.parent
START_DEADLINE_S = 10.0
STOP_DEADLINE_S = 6.0
MAX_LISTED = 5
SAMPLE_EVERY_S = 0.25


def main() -> int:
    """Run the demo; the exit code is that of the daemon."""
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    parser.add_argument("--for", dest="seconds", type=_seconds, metavar="SECONDS", help="stop after this time")
    parser.add_argument(
        "--config",
        type=Path,
        default=ROOT / "config.yaml",
        metavar="FILE",
        help="config to run (default: the shipped config.yaml)",
    )
    options = parser.parse_args()
    interrupted: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # The signal is recorded, not raised, so that the demo stops in order even if Ctrl-C is pressed several times.
        signal.signal(number, lambda number, _: interrupted.append(number))
    try:
        config = load_config(options.config).document
    except Refused as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    with tempfile.TemporaryDirectory(prefix="perceptd-") as directory, contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(Path(directory)))
        log = Path(directory) / "daemon.log"
        daemon = stack.enter_context(Daemon(options.config, port, log))
        stream = next(iter(config.streams))
        print(f"A private broker runs on 127.0.0.1:{port}. Send the daemon a text, for example:", flush=True)
        print(f"  mosquitto_pub -p {port} -t perceptd/{config.node}/{stream}/text -m 'room seven'\n", flush=True)
        viewer = Viewer(config, port)
        viewer.view(options.seconds, daemon, interrupted)
        code = daemon.stop()
        viewer.close()
        if code != 0:
            print(log.read_text(errors="replace"), file=sys.stderr)
            print(f"the daemon failed with exit code {code}; its log is above", file=sys.stderr)
            return code
        print("\n".join(summary(config, viewer, daemon)), flush=True)
    return 0


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError("expected a number of seconds above 0")
    return seconds


@contextlib.contextmanager
def broker(directory: Path) -> Iterator[int]:
    """Run a private mosquitto on a free loopback port; yields the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    directory.chmod(0o755)
    settings = directory / "mosquitto.conf"
    settings.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nset_tcp_nodelay true\n"
    )
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "mosquitto"
    process = subprocess.Popen([program, "-c", settings], start_new_session=True)
    try:
        _wait_for_port(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise SystemExit(f"mosquitto did not start on port {port}")


class Daemon:
    """Runs the daemon as a process, and measures its memory and processor time from outside."""

    def __init__(self, config: Path, port: int, log: Path) -> None:
        command = [sys.executable, "-m", "daemon", "run", "--config", config, "--broker", f"127.0.0.1:{port}"]
        self.started = time.monotonic()
        # a temporary directory, because the next demo does not need the state of this one
        environment = os.environ | {"STATE_DIRECTORY": str(log.parent / "state")}
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=file, start_new_session=True, env=environment)
        self.peak_pss_mb = 0.0
        self.cpu_s = 0.0
        self.uptime_s = 0.0

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def sample(self) -> None:
        """Measure the memory and the processor time used so far."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
            pss_kb = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            self.peak_pss_mb = max(self.peak_pss_mb, pss_kb / 1024)
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            self.uptime_s = time.monotonic() - self.started

    def stop(self) -> int:
        """Stop the daemon; returns its exit code."""
        self.sample()
        self.process.terminate()
        try:
            return self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            print(f"the daemon did not stop within {STOP_DEADLINE_S:g} s and was killed", file=sys.stderr)
            self.process.kill()
            return self.process.wait()


class Viewer:
    """Prints the messages that a subscriber receives, and stores figures for the summary."""

    def __init__(self, config: Config, port: int) -> None:
        self._narrator = Narrator(colour=sys.stdout.isatty(), with_node=False)
        self._stop = threading.Event()
        self.latencies_ms: list[float] = []
        self.first_recognition: float | None = None
        self.starts: list[tuple[float, str]] = []
        self.health: dict[str, object] = {}
        self.began: float | None = None
        self._mqtt, self._node = MqttConfig(host="127.0.0.1", port=port), config.node
        self._thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self._thread.start()

    def view(self, seconds: float | None, daemon: Daemon, interrupted: Sequence[int]) -> None:
        """Wait until the time is up, somebody interrupts, or the daemon ends."""
        end = None if seconds is None else time.monotonic() + seconds
        while not interrupted and daemon.process.poll() is None and (end is None or time.monotonic() < end):
            daemon.sample()
            time.sleep(SAMPLE_EVERY_S if end is None else max(0.0, min(SAMPLE_EVERY_S, end - time.monotonic())))

    def close(self) -> None:
        """Stop after the daemon's last messages have been printed."""
        self._stop.set()
        self._thread.join(STOP_DEADLINE_S)

    def _run(self) -> None:
        watch(self._mqtt, self._node, emit=self._show, stop=self._stop, report_silence=self._report_silence)

    def _report_silence(self, _filters: list[str]) -> None:
        print(f"no message yet from node {self._node}", file=sys.stderr)

    def _show(self, received: Received) -> None:
        content = received.content
        if isinstance(content, RecognitionPayload):
            if self.first_recognition is None:
                self.first_recognition = time.monotonic()
            if received.latency_ms is not None:
                self.latencies_ms.append(received.latency_ms)
        elif isinstance(content, EventPayload) and content.phase == "start":
            self.starts.append((_epoch_s(content.started), content.label))
        elif received.kind == "health":
            self.health = json.loads(received.payload)
            self.began = self.began or _replay_began(self.health)
        line = self._narrator.render_news(received)
        if line is not None:
            print(line, flush=True)


def _replay_began(health: dict) -> float | None:
    """When the replay of the first stream delivered its first item, in seconds since 1970."""
    for stream in health["streams"].values():
        replay = stream["sources"].get("replay")
        if replay and replay["state"] == "healthy":
            return _epoch_s(replay["since"])
    return None


def _epoch_s(iso: str) -> float:
    return datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp()


def summary(config: Config, viewer: Viewer, daemon: Daemon) -> Iterator[str]:
    """The lines of the summary."""
    yield ""
    for name, stream in viewer.health.get("streams", {}).items():
        for modality, counts in stream["inputs"].items():
            things = {"image": "frames", "audio": "blocks", "text": "lines"}[modality]
            dropped = ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()) or "none"
            yield f"{name:<8} {counts['captured']:6} {things} captured, {counts['encoded']} encoded, dropped: {dropped}"
        yield f"{name:<8} {stream['recognitions']:6} recognitions, {stream['events']} event messages"
    if viewer.first_recognition is not None:
        yield f"first recognition: {viewer.first_recognition - daemon.started:.1f} s after the start of the daemon"
    if viewer.latencies_ms:
        ordered = sorted(viewer.latencies_ms)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        yield f"latency from capture to subscriber: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(ordered)} recognitions)"
    if daemon.uptime_s:
        yield f"processor time: {daemon.cpu_s / daemon.uptime_s:.3f} s per second"
        yield f"peak memory (PSS): {daemon.peak_pss_mb:.0f} MB"
    yield from _digits(config, viewer)


def _digits(config: Config, viewer: Viewer) -> Iterator[str]:
    """How many digits of the recording were recognised, if a list of them lies beside the recording."""
    replay = next(iter(config.streams.values())).replay
    if replay is None or viewer.began is None:
        return
    clip = Path(replay.file)
    truth = clip.with_suffix(".truth.yaml")
    if not truth.is_file():
        return
    passages = [_passage(row) for row in yaml.safe_load(truth.read_text())["passages"]]
    with av.open(str(clip)) as container:
        clip_s = container.duration / av.time_base
    events = [EventStart(at - viewer.began, label) for at, label in viewer.starts]
    result = score(passages, clip_s, time.time() - viewer.began, events)
    yield from _score_lines(result)


def _passage(row: dict) -> Passage:
    contradicts = row["kind"] == "contradiction"
    claims = frozenset(row[sense] for sense in ("image", "audio", "text") if row[sense]) if contradicts else frozenset()
    return Passage(row["start_s"], row["end_s"], row["kind"], row["label"], claims)


def _score_lines(result: Score) -> Iterator[str]:
    names = {"both": "picture and sound", "image": "picture", "audio": "sound", "text": "text"}
    if not result.shown:
        yield "digits recognised: the run was too short, no digit was shown completely"
        return
    parts = ", ".join(
        f"{names.get(kind, kind)} {result.recognised[kind]} of {count}" for kind, count in result.shown.items()
    )
    yield f"digits recognised: {result.recognised.total()} of {result.shown.total()} ({parts})"
    if result.contradicted:
        yield f"events while picture and sound contradict each other: {_events(result.contradicted)}"
    if result.unfounded:
        yield f"events without a digit in the recording (your own texts cause such events): {_events(result.unfounded)}"


def _events(events: list[EventStart]) -> str:
    listed = ", ".join(f"{event.label} at {event.at_s:.1f} s" for event in events[:MAX_LISTED])
    return listed + (f" and {len(events) - MAX_LISTED} more" if len(events) > MAX_LISTED else "")


if __name__ == "__main__":
    sys.exit(main())
