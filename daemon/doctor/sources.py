"""Opens what a config's streams capture from, all at once, and says what each delivers."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from daemon.bundle.manifest import Manifest
from daemon.config.node import Config
from daemon.config.streams import StreamConfig
from daemon.core.errors import DocumentError, SourceError
from daemon.core.ports import Source
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.doctor.finding import Finding
from daemon.sources.factory import build_sources

DELIVERS_S = 10.0
"""Network cameras have 2.5 s for each step of opening, a sound server a few seconds."""

CLOSE_S = 5.0
"""Within which sources close; one that hangs is left behind, and said to be."""

SAMPLE_RATE_HZ = 16_000
"""For want of a bundle that says what it listens at."""

LOOK_S = 0.05

REMEDIES = {
    "camera": "look for it with perceptd devices, and see that nothing else, such as a running perceptd, holds it",
    "microphone": "look for it with perceptd devices, and see that the sound server runs for this user",
    "replay": "check the replay's file in config.yaml",
}


@dataclass
class SourceRun:
    """One source, run until it has delivered each kind of what is wanted; nothing named: anything at all."""

    name: str
    source: Source
    wanted: frozenset[str]
    delivered: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None
    has_ended: bool = False

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._began = time.monotonic()
        self.thread = threading.Thread(target=self._run, name=f"doctor/{self.name}", daemon=True)
        self.thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether waiting longer changes nothing."""
        return self.has_ended or self._has_all

    def stop(self) -> None:
        """Close it, soon."""
        self._stop.set()

    def finding(self) -> Finding:
        """What it delivered, or why not."""
        told = ", ".join(self.delivered.values())
        missing = sorted(self.wanted - self.delivered.keys())
        remedy = REMEDIES[self.name.rpartition("/")[2]]
        if not self.delivered:
            silence = "ended without anything" if self.has_ended else f"delivers nothing within {DELIVERS_S:g} s"
            return Finding(self.name, "failure", self.trouble or silence, remedy)
        if missing:
            why = f" ({self.trouble})" if self.trouble else ""
            return Finding(self.name, "warning", f"{told}, but no {' and no '.join(missing)}{why}", remedy)
        return Finding(self.name, "good", told)

    @property
    def _has_all(self) -> bool:
        return bool(self.delivered) and self.wanted <= self.delivered.keys()

    def _run(self) -> None:
        try:
            self.source.run(self._take, self._stop)
        except SourceError as error:
            self.trouble = str(error)
        except Exception as error:  # noqa: BLE001  (a source's fault is a finding, not the end of doctor)
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self.has_ended = True

    def _take(self, captured: Captured) -> None:
        after = f"after {time.monotonic() - self._began:.1f} s"
        if isinstance(captured, Frame):
            width, height = captured.size
            self.delivered.setdefault("pictures", f"pictures of {width}x{height} {after}")
        elif isinstance(captured, Block):
            self.delivered.setdefault("sound", f"sound {after}")
        else:
            self.delivered.setdefault("text", f"text {after}")
        if self._has_all:
            self._stop.set()


def source_findings(config: Config, manifest: Manifest | None) -> Iterator[Finding]:
    """One finding for each source, as it is known; without a manifest, everything is wanted."""
    pending: list[SourceRun] = []
    for name, stream in config.streams.items():
        try:
            attempts = _attempts(name, stream, manifest)
        except DocumentError as error:
            yield Finding(name, "failure", str(error), "check the replay's text in config.yaml")
            continue
        if not attempts:
            yield _without_sources(name, stream, manifest)
        pending += attempts
    yield from _settled(pending)


def _attempts(name: str, stream: StreamConfig, manifest: Manifest | None) -> list[SourceRun]:
    audio = manifest.modalities.audio if manifest else None
    rate_hz = SAMPLE_RATE_HZ if manifest is None else audio.preprocessing.sample_rate_hz if audio else None
    picture = manifest is None or manifest.modalities.image is not None
    counters = {modality: Counters() for modality in MODALITIES}
    sources = build_sources(stream, sample_rate_hz=rate_hz, picture=picture, counters=counters)
    is_camera_sound = stream.microphone is not None and stream.microphone.device == "camera"
    of_camera = {"pictures": picture, "sound": is_camera_sound and rate_hz is not None}
    wanted = {
        "camera": frozenset(kind for kind, is_wanted in of_camera.items() if is_wanted),
        "microphone": frozenset({"sound"}),
        "replay": frozenset[str](),
    }
    return [SourceRun(f"{name}/{part}", source, wanted[part]) for part, source in sources.items()]


def _without_sources(name: str, stream: StreamConfig, manifest: Manifest | None) -> Finding:
    if stream.text.enabled and (manifest is None or manifest.modalities.text is not None):
        return Finding(name, "good", "takes text alone")
    return Finding(name, "failure", "captures nothing that the bundle takes", "change the stream, or the bundle")


def _settled(pending: list[SourceRun]) -> Iterator[Finding]:
    all_of_them = list(pending)
    deadline_ns = monotonic_ns() + round(DELIVERS_S * NS_PER_S)
    try:
        while pending:
            is_over = not seconds_until(deadline_ns)
            for attempt in [attempt for attempt in pending if is_over or attempt.is_settled]:
                pending.remove(attempt)
                yield attempt.finding()
            time.sleep(LOOK_S)
    finally:
        for attempt in all_of_them:
            attempt.stop()
    yield from _left_behind(all_of_them)


def _left_behind(attempts: list[SourceRun]) -> Iterator[Finding]:
    close_ns = monotonic_ns() + round(CLOSE_S * NS_PER_S)
    for attempt in attempts:
        attempt.thread.join(seconds_until(close_ns))
        if attempt.thread.is_alive():
            yield Finding(
                attempt.name, "warning", f"does not close within {CLOSE_S:g} s", "plug it in again, or reboot"
            )
