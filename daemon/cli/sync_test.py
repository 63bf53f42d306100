"""`perceptd sync-test`: measures the offset between sound and picture of a stream's own devices."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter

from daemon.cli.reach import explained, node_config
from daemon.config.command_line import ConfigOptions
from daemon.config.streams import StreamConfig
from daemon.core.errors import Refused, SourceError
from daemon.core.ports import Source
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, ended_ns
from daemon.core.status_line import StatusLine
from daemon.core.text import redact
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns, seconds_until
from daemon.sources.av_sync import Pairing, brightness, find_beeps, find_flashes, pair
from daemon.sources.factory import build_sources

SAMPLE_RATE_HZ = 16_000

# sources close within this time; the command does not wait longer
CLOSE_S = 5.0

LOOK_S = 0.25

# a smaller offset is below the resolution of the measurement
IN_STEP_MS = 10

MAKE_CLIP = "perceptd sync-test --make flashes.mp4 writes a clip to show on a telephone"


@dataclass(frozen=True)
class Finding:
    """The result of a measurement. `settings` are the keys of the config to change, with their new values."""

    flashes: int
    beeps: int
    pairing: Pairing | None
    settings: Mapping[str, float]

    @property
    def is_clear(self) -> bool:
        """Whether the offset is known."""
        return self.pairing is not None and self.pairing.is_clear


@dataclass
class Capture:
    """What one stream captures for a while, with the time stamps that the daemon would give.

    It sets `stop` at the first item that was captured `length_ns` or more after the first one.
    """

    image_offset_ns: int
    audio_offset_ns: int
    length_ns: int
    stop: threading.Event = field(default_factory=threading.Event)
    begin_ns: int | None = None
    pictures: list[tuple[int, float]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def deliver(self, captured: Captured) -> None:
        """Keep the brightness of a frame, or a block."""
        at_ns = ended_ns(captured)
        self.begin_ns = at_ns if self.begin_ns is None else self.begin_ns
        if at_ns - self.begin_ns >= self.length_ns:
            self.stop.set()
        elif isinstance(captured, Frame):
            self.pictures.append((captured.captured_ns + self.image_offset_ns, brightness(captured)))
        elif isinstance(captured, Block):
            self.blocks.append(replace(captured, start_ns=captured.start_ns + self.audio_offset_ns))

    def run(self, source: Source) -> None:
        """Run one source in this thread."""
        try:
            source.run(self.deliver, self.stop)
        except SourceError as error:
            self.troubles.append(redact(str(error)))


def sync_test(options: argparse.Namespace) -> int:
    """Measure the offset between sound and picture; return 1 when it cannot be measured."""
    if options.make is not None:
        from daemon.sources.av_sync import write_flash_clip

        write_flash_clip(options.make)
        print(f"{options.make}: a minute of flashes and beeps; play it before the camera and the microphone")
        return 0
    path = node_config(options.config)
    choice = ConfigOptions(str(path), options.camera, options.camera_file, options.microphone)
    for remark in choice.remarks():
        print(remark, file=sys.stderr)
    with explained(path):
        config = choice.load().document
    name = options.stream or next(iter(config.streams))
    if name not in config.streams:
        raise Refused(f"--stream {name}: there is none; streams: {', '.join(config.streams)}")
    stream = config.streams[name]
    capture = _capture(name, stream, options.seconds)
    finding = measure(name, stream, capture)
    if options.json:
        print(json.dumps(_as_json(name, finding, capture.troubles), indent=2))
    else:
        print("\n".join(_as_text(name, finding, capture)))
    return 0 if finding.is_clear else 1


def measure(name: str, stream: StreamConfig, capture: Capture) -> Finding:
    """Pair flashes with beeps, and compute the offsets to set in the config."""
    flashes, beeps = (
        find_flashes(sorted(capture.pictures)),
        find_beeps(sorted(capture.blocks, key=attrgetter("start_ns"))),
    )
    pairing = pair(flashes, beeps)
    settings: dict[str, float] = {}
    if pairing and pairing.is_clear and not stream.replay:
        late_ms = round(pairing.offset_ns / NS_PER_MS)
        later, device = ("microphone", stream.microphone) if late_ms > 0 else ("camera", stream.camera)
        if device and abs(late_ms) >= IN_STEP_MS:
            settings[f"streams.{name}.{later}.offset_ms"] = device.offset_ms - abs(late_ms)
    return Finding(len(flashes), len(beeps), pairing, settings)


def is_recording(stream: StreamConfig) -> bool:
    """Return whether picture and sound come from one file. Its own times count, at whatever pace it is read."""
    camera, microphone = stream.camera, stream.microphone
    is_file = camera is not None and camera.is_file
    return stream.replay is not None or (is_file and microphone is not None and microphone.device == "camera")


def _capture(name: str, stream: StreamConfig, seconds: float) -> Capture:
    counters = {modality: Counters() for modality in MODALITIES}
    sources = build_sources(
        stream, sample_rate_hz=SAMPLE_RATE_HZ, picture=True, counters=counters, at_once=is_recording(stream)
    )
    if not stream.replay and not (stream.camera and stream.microphone):
        raise Refused(
            f"streams.{name}: needs a camera and a microphone, or --camera and --microphone (camera: its own)"
        )
    if stream.camera and stream.camera.view_of is not None:
        other = stream.camera.view_of
        raise Refused(f"streams.{name}: looks at the camera of {other}; measure that stream: --stream {other}")
    camera_ms = stream.camera.offset_ms if stream.camera else 0
    microphone_ms = stream.microphone.offset_ms if stream.microphone else 0
    capture = Capture(round(camera_ms * NS_PER_MS), round(microphone_ms * NS_PER_MS), round(seconds * NS_PER_S))
    threads = [
        threading.Thread(target=capture.run, args=(source,), name=f"sync-test/{part}", daemon=True)
        for part, source in sources.items()
    ]
    if is_recording(stream):
        print(f"reading the first {seconds:g} s of the recording of {name}", file=sys.stderr)
    else:
        print(f"watching {name} for {seconds:g} s; {MAKE_CLIP}", file=sys.stderr)
    for thread in threads:
        thread.start()
    _wait(threads, seconds)
    capture.stop.set()
    close_ns = monotonic_ns() + round(CLOSE_S * NS_PER_S)
    for thread in threads:
        thread.join(seconds_until(close_ns))
        if thread.is_alive():
            capture.troubles.append(f"{thread.name}: hangs; it is not waited for")
    return capture


def _wait(threads: list[threading.Thread], seconds: float) -> None:
    """Wait until the time is over or the sources have ended, and show the time that is left."""
    end_ns = monotonic_ns() + round(seconds * NS_PER_S)
    with StatusLine() as status:
        while (remaining_s := seconds_until(end_ns)) and any(thread.is_alive() for thread in threads):
            status.show(f"{remaining_s:3.0f} s left")
            time.sleep(min(LOOK_S, remaining_s))


def _as_text(name: str, finding: Finding, capture: Capture) -> list[str]:
    counted = f"{name}: flashes {finding.flashes}, beeps {finding.beeps}"
    pairing = finding.pairing
    if pairing is None or not pairing.is_clear:
        return [*capture.troubles, f"{counted}: {_why_not(finding, capture)}"]
    late_ms, spread_ms = pairing.offset_ns / NS_PER_MS, pairing.spread_ns / NS_PER_MS
    direction = "late" if late_ms >= 0 else "early"
    found = f"sound is {abs(late_ms):.0f} ms {direction} against the picture, within {spread_ms:.0f} ms"
    advice = [f"set {key}: {value:g}" for key, value in finding.settings.items()]
    if abs(late_ms) < IN_STEP_MS:
        advice = ["nothing needs to be set"]
    return [*capture.troubles, f"{counted}, pairs {pairing.pairs}", found, *advice]


def _why_not(finding: Finding, capture: Capture) -> str:
    if not capture.pictures or not capture.blocks:
        return f"{'no sound' if capture.pictures else 'no pictures'} came; check the stream's devices: perceptd devices"
    if finding.pairing and finding.pairing.pairs > 2:
        return (
            f"they can be paired in more than one way, so the offset is not known; {MAKE_CLIP}: its rhythm is irregular"
        )
    return f"too few of them belong together; {MAKE_CLIP}: bring it closer, or louder, or try --for 60"


def _as_json(name: str, finding: Finding, troubles: list[str]) -> dict[str, object]:
    pairing = finding.pairing
    return {
        "stream": name,
        "flashes": finding.flashes,
        "beeps": finding.beeps,
        "pairs": pairing.pairs if pairing else 0,
        "sound_late_ms": round(pairing.offset_ns / NS_PER_MS, 1) if pairing and pairing.is_clear else None,
        "spread_ms": round(pairing.spread_ns / NS_PER_MS, 1) if pairing and pairing.is_clear else None,
        "set": finding.settings,
        "troubles": troubles,
    }
