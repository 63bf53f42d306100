"""Measures what a node writes to its card and to its log: idle, and with one event a minute.

Each node has its state directory on an ext4 file system of its own, in a file on a loop device. What this device was
asked to write is counted, with the file system's own journal. Needs root. All nodes run at the same time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import yaml
from demo import broker

from benchmarks.bundles import ROOT
from benchmarks.home import add_options, build_home
from benchmarks.process import daemon_command
from daemon.sources.container import read_sound

# A node that can be taught knows its place after five minutes. Until then it stores each moment at once.
SETTLE_S = 400.0
MINUTE_S, RATE_HZ, FPS = 60, 16_000, 2
DISK_MB = 256
SECTOR_BYTES, KB, HOUR_S, DAY_S = 512, 1024, 3600.0, 86_400.0
IDLE_KB, EVENTS_KB, LOG_KB = 200.0, 600.0, 1024.0
SOUND = ROOT.parent / "shared" / "datasets" / "sounds" / "dog" / "1-100032-A.ogg"


@dataclass(frozen=True, slots=True)
class Case:
    """One node that is measured, and the most that it may write in an hour; None: there is no target."""

    name: str
    has_events: bool
    settings: dict
    most_kb: float | None


CASES = (
    Case("idle", False, {"teaching": {"enabled": False}}, IDLE_KB),
    Case("an event a minute", True, {"teaching": {"enabled": False}}, EVENTS_KB),
    Case("idle, can be taught", False, {}, IDLE_KB),
    Case("an event a minute, can be taught", True, {}, EVENTS_KB),
    Case("an event a minute, with a history", True, {"teaching": {"enabled": False}, "history": {}}, None),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What one node has written in an hour, and to its log in a day; `events` were published meanwhile."""

    card_kb: float
    log_kb: float
    events: int


def main() -> int:
    """Print the table; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench writes", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the nodes are measured (default: 60)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the nodes with this text in their name")
    add_options(parser)
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("scripts/bench writes mounts file systems: run it as root")
    cases = [case for case in CASES if options.only in case.name]
    with (
        tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name,
        broker(Path(name)) as port,
        ExitStack() as stack,
    ):
        directory = Path(name)
        bundle = options.bundle or build_home(directory / "home", options.from_dir)
        nodes = [Node(directory, number, case, bundle, port, stack) for number, case in enumerate(cases)]
        time.sleep(SETTLE_S)
        before = [node.counts() for node in nodes]
        time.sleep(options.minutes * 60)
        after = [node.counts() for node in nodes]
        results = {
            node.case.name: _written(then, now, options.minutes * 60)
            for node, then, now in zip(nodes, before, after, strict=True)
        }
    print(json.dumps(_document(results)) if options.json else _table(cases, results))
    return 0 if all(_is_met(case, results[case.name]) for case in cases) else 1


class Node:
    """A node that runs until the stack ends, with a disk of its own."""

    def __init__(self, directory: Path, number: int, case: Case, bundle: Path, port: int, stack: ExitStack) -> None:
        self.case = case
        self._name = f"bench-{number}"
        place = directory / self._name
        place.mkdir()
        clip = place / "minute.mkv"
        write_minute(clip, has_sound=case.has_events)
        disk = place / "disk"
        self._device = stack.enter_context(mounted(place / "image", disk))
        config = place / "config.yaml"
        config.write_text(yaml.safe_dump(_settings(self._name, bundle, port, clip, disk / "state") | case.settings))
        self._log = place / "log"
        environment = os.environ | {"RUNTIME_DIRECTORY": str(Path(stack.enter_context(_memory())))}
        with self._log.open("wb") as log:
            process = subprocess.Popen(list(map(str, daemon_command(config))), stderr=log, env=environment)
        stack.callback(_stop, process)
        self._heard = place / "events"
        with self._heard.open("wb") as heard:
            topic = f"perceptd/{self._name}/+/event"
            command = ["mosquitto_sub", "-p", str(port), "-t", topic, "-F", "%p"]
            subscriber = subprocess.Popen(command, stdout=heard)
        stack.callback(_stop, subscriber)
        self._process = process

    def counts(self) -> tuple[int, int, int]:
        """Bytes that the disk was asked to write, bytes of the log, and events that were published, so far."""
        if self._process.poll() is not None:
            raise SystemExit(f"{self.case.name}: the node has ended\n{self._log.read_text()}")
        os.sync()
        sectors = int(Path(f"/sys/block/{self._device.name}/stat").read_text().split()[6])
        ended = sum(json.loads(line)["phase"] == "end" for line in self._heard.read_text().splitlines())
        return sectors * SECTOR_BYTES, self._log.stat().st_size, ended


def write_minute(path: Path, *, has_sound: bool) -> None:
    """Write a minute of a still picture, which is quiet but for a dog that barks in its middle, where `has_sound`."""
    samples = np.random.default_rng(1).normal(0, 0.0005, MINUTE_S * RATE_HZ).astype(np.float32)
    if has_sound:
        barks = read_sound(SOUND, RATE_HZ)
        samples[len(samples) // 2 :][: len(barks)] += barks
    picture = np.full((240, 320, 3), 90, np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for _ in range(MINUTE_S * FPS):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(video.encode())
        for start in range(0, len(samples), RATE_HZ):
            piece = (samples[np.newaxis, start : start + RATE_HZ].clip(-1, 1) * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(piece, "s16", "mono")
            frame.sample_rate, frame.pts = RATE_HZ, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount a new ext4 file system at `place`, as a card has it; give its loop device."""
    with image.open("wb") as file:
        file.truncate(DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    found = subprocess.run(["losetup", "--find", "--show", image], check=True, stdout=subprocess.PIPE, text=True)
    device = Path(found.stdout.strip())
    place.mkdir()
    try:
        subprocess.run(["mount", device, place], check=True)
        try:
            yield device
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def _memory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-", dir="/dev/shm") as name:
        yield name


def _settings(node: str, bundle: Path, port: int, clip: Path, state: Path) -> dict:
    stream = {"camera": {"device": str(clip), "loop": True}, "microphone": "camera"}
    places = {"bundle": str(bundle), "state_directory": str(state)}
    return {"node": node, "mqtt": {"port": port}, "streams": {"bench": stream}, **places}


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _written(before: tuple[int, int, int], after: tuple[int, int, int], seconds: float) -> Written:
    card, log, events = (now - then for then, now in zip(before, after, strict=True))
    return Written(card / KB * HOUR_S / seconds, log / KB * DAY_S / seconds, events)


def _is_met(case: Case, written: Written) -> bool:
    return written.log_kb <= LOG_KB and (case.most_kb is None or written.card_kb <= case.most_kb)


def _document(results: dict[str, Written]) -> dict:
    return {
        name: {"card_kb_an_hour": each.card_kb, "log_kb_a_day": each.log_kb, "events": each.events}
        for name, each in results.items()
    }


def _table(cases: list[Case], results: dict[str, Written]) -> str:
    lines = [f"{'':<38}{'events':>8}{'card, KB an hour':>18}{'at most':>9}{'log, KB a day':>15}{'at most':>9}"]
    for case in cases:
        each, most = results[case.name], "-" if case.most_kb is None else f"{case.most_kb:.0f}"
        missed = "" if _is_met(case, each) else "  MISSED"
        figures = f"{each.events:>8}{each.card_kb:>18.0f}{most:>9}{each.log_kb:>15.0f}{LOG_KB:>9.0f}"
        lines.append(f"{case.name:<38}{figures}{missed}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
