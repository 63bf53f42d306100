"""Opens all sources of a config's streams at once, and reports what each one delivers."""

import threading
import time
from collections.abc import Iterator
from typing import Literal

from daemon.bundle.manifest import Manifest
from daemon.config.node import Config
from daemon.config.streams import StreamConfig, is_url
from daemon.core.errors import DocumentError, NothingUsed, SourceError
from daemon.core.ports import Source
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.doctor.finding import Finding
from daemon.sources.factory import build_sources

# a network camera says after 20 s that it sends nothing, and what may be wrong
DELIVER_S = 25.0

# a source that closes later than this is reported
CLOSE_S = 5.0

POLL_S = 0.05

# used if there is no bundle that states its rate
SAMPLE_RATE_HZ = 16_000

# what a source captures from; `file`: of a camera or a replay
Place = Literal["camera", "microphone", "network", "file"]

# of a source that delivers nothing
REMEDIES: dict[Place, str] = {
    "camera": "look for it with perceptd devices, and stop other programs that hold it, such as a running perceptd",
    "microphone": "look for it with perceptd devices, and check that the sound server runs for this user",
    "network": "check the address, path and login in camera.device, and that the camera runs",
    "file": "check the file that config.yaml names",
}

# of a source that was reached, and lacks a part of what is expected of it
OTHER_MICROPHONE = "or set microphone to another device of perceptd devices, or leave it out"
LACKS: dict[Place, dict[str, str]] = {
    "network": {
        "pictures": "give camera.device the address of a stream with pictures: most cameras have several",
        "sound": f"switch sound on in the camera's own settings, or take another of its streams, {OTHER_MICROPHONE}",
    },
    "file": {
        "pictures": "take a recording with pictures",
        "sound": f"take a recording with sound, {OTHER_MICROPHONE}",
    },
}

# of a source that does not close
HELD: dict[Place, str] = {
    "camera": "plug it in again, or reboot",
    "microphone": "plug it in again, or reboot",
    "network": "restart the camera, and check the network",
    "file": "check the disk or the share that holds it",
}


def source_findings(config: Config, manifest: Manifest | None) -> Iterator[Finding]:
    """One finding for each source, as soon as it is known. Without a manifest all modalities are expected."""
    runs: list[SourceRun] = []
    for name, stream in config.streams.items():
        try:
            of_stream = _runs(name, stream, manifest)
        except DocumentError as error:
            yield Finding(name, "failure", str(error), "check the replay's text in config.yaml")
            continue
        if not of_stream:
            yield _finding_without_sources(name, stream, manifest)
        runs += of_stream
    for run in runs:
        run.start()
    yield from _wait_for(runs)


class SourceRun:
    """One source in its own thread, until it has delivered every expected kind of data.

    The kinds are "pictures", "sound" and "text". If none is expected, any kind will do.
    """

    def __init__(self, name: str, source: Source, expected: frozenset[str], place: Place) -> None:
        """`name` is that of the check: the stream, / and the part of its config."""
        self.name = name
        self.place = place
        self._source = source
        self._expected = expected
        self._delivered: dict[str, str] = {}
        self._problem: str | None = None
        self._lacks_all = False
        self._has_ended = False
        self._stop = threading.Event()
        self._began = time.monotonic()
        self.thread = threading.Thread(target=self._run, name=f"doctor/{name}", daemon=True)

    def start(self) -> None:
        """Open the source."""
        self._began = time.monotonic()
        self.thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether nothing can change any more."""
        return self._has_ended or self._has_all

    def stop(self) -> None:
        """Ask the source to close."""
        self._stop.set()

    def finding(self) -> Finding:
        """The data that the source has delivered, or why there is none."""
        delivered = ", ".join(self._delivered.values())
        missing = sorted(self._expected - self._delivered.keys())
        if not self._delivered:
            silence = "ended without any data" if self._has_ended else f"delivers nothing within {DELIVER_S:g} s"
            remedy = self._remedy_of(missing) if self._lacks_all else REMEDIES[self.place]
            return Finding(self.name, "failure", self._problem or silence, remedy)
        if missing:
            reason = f" ({self._problem})" if self._problem else ""
            found = f"{delivered}, but no {' and no '.join(missing)}{reason}"
            remedy = REMEDIES[self.place] if self._problem else self._remedy_of(missing)
            return Finding(self.name, "warning", found, remedy)
        return Finding(self.name, "good", delivered)

    def _remedy_of(self, missing: list[str]) -> str:
        """What to do about a source that was reached, and lacks something."""
        of_place = LACKS.get(self.place, {})
        return next((of_place[kind] for kind in missing if kind in of_place), REMEDIES[self.place])

    @property
    def _has_all(self) -> bool:
        return bool(self._delivered) and self._expected <= self._delivered.keys()

    def _run(self) -> None:
        try:
            self._source.run(self._take, self._stop)
        except SourceError as error:
            self._problem = str(error)
            self._lacks_all = isinstance(error, NothingUsed)
        except Exception as error:  # noqa: BLE001  (a bug in a source becomes a finding, and does not end doctor)
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            self._has_ended = True

    def _take(self, captured: Captured) -> None:
        after = f"after {time.monotonic() - self._began:.1f} s"
        if isinstance(captured, Frame):
            width, height = captured.size
            self._delivered.setdefault("pictures", f"pictures of {width}x{height} {after}")
        elif isinstance(captured, Block):
            self._delivered.setdefault("sound", f"sound {after}")
        else:
            self._delivered.setdefault("text", f"text {after}")
        if self._has_all:
            self._stop.set()


def _runs(name: str, stream: StreamConfig, manifest: Manifest | None) -> list[SourceRun]:
    rate_hz = SAMPLE_RATE_HZ if manifest is None else manifest.sample_rate_hz
    picture = manifest is None or "image" in manifest.senses
    counters = {modality: Counters() for modality in MODALITIES}
    sources = build_sources(stream, sample_rate_hz=rate_hz, picture=picture, counters=counters)
    has_camera_sound = stream.microphone is not None and stream.microphone.device == "camera"
    of_camera = {"pictures": picture, "sound": has_camera_sound and rate_hz is not None}
    expected = {
        "camera": frozenset(kind for kind, is_expected in of_camera.items() if is_expected),
        "microphone": frozenset({"sound"}),
        "replay": frozenset[str](),
    }
    return [SourceRun(f"{name}/{part}", each, expected[part], _place(part, stream)) for part, each in sources.items()]


def _place(part: str, stream: StreamConfig) -> Place:
    """Return what a part of a stream's config captures from."""
    if part == "microphone":
        return "microphone"
    if stream.camera is None or stream.camera.is_file:
        return "file"
    return "network" if is_url(stream.camera.device) else "camera"


def _finding_without_sources(name: str, stream: StreamConfig, manifest: Manifest | None) -> Finding:
    if stream.camera is not None and stream.camera.view_of is not None:
        return Finding(name, "good", f"looks at the camera of {stream.camera.view_of}")
    if stream.text.enabled and (manifest is None or "text" in manifest.senses):
        return Finding(name, "good", "takes text only")
    return Finding(name, "failure", "captures nothing that the bundle uses", "change the stream, or the bundle")


def _wait_for(runs: list[SourceRun]) -> Iterator[Finding]:
    pending = list(runs)
    deadline_ns = monotonic_ns() + round(DELIVER_S * NS_PER_S)
    try:
        while pending:
            is_over = not seconds_until(deadline_ns)
            for run in [run for run in pending if is_over or run.is_settled]:
                pending.remove(run)
                yield run.finding()
            time.sleep(POLL_S)
    finally:
        for run in runs:
            run.stop()
    yield from _unclosed_sources(runs)


def _unclosed_sources(runs: list[SourceRun]) -> Iterator[Finding]:
    close_ns = monotonic_ns() + round(CLOSE_S * NS_PER_S)
    for run in runs:
        run.thread.join(seconds_until(close_ns))
        if run.thread.is_alive():
            yield Finding(run.name, "warning", f"does not close within {CLOSE_S:g} s", HELD[run.place])
