"""The sources of one stream: opened, closed on request, watched, and opened again when they fail."""

from collections.abc import Callable, Mapping

from daemon.bundle.manifest import Manifest
from daemon.config.streams import StreamConfig
from daemon.core.media import PacketSink
from daemon.core.ports import Deliver
from daemon.core.records import Counters, Modality
from daemon.core.timing import seconds_until
from daemon.node.health import SourceHealth, source_health
from daemon.node.switches import Switch
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.liveness import DELIVERS
from daemon.runtime.processor import ProcessorShare
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.factory import build_sources, expectation_of, plays_once, usage_judges
from daemon.sources.quality import Inspector
from daemon.sources.view import Views, waits_for


class StreamSources:
    """Owns the sources of one stream. `start` begins to capture."""

    def __init__(
        self,
        name: str,
        config: StreamConfig,
        manifest: Manifest,
        counters: Mapping[Modality, Counters],
        *,
        on_change: Callable[[], None],
        views: Views | None = None,
        looks_at: Views | None = None,
        packets: PacketSink | None = None,
    ) -> None:
        """`on_change` is called when the state of a source has changed.

        `views` has the streams that look at this one's camera. `looks_at` has the camera that this one looks at.
        `packets` gets the coded packets of the camera, if the stream may keep them.
        """
        self._name, self._config = name, config
        self._counters = counters
        self._on_change = on_change
        self._modalities = frozenset(manifest.senses)
        self._views, self._looks_at = views, looks_at
        self._new = build_sources(
            config,
            sample_rate_hz=manifest.sample_rate_hz,
            picture="image" in manifest.senses,
            counters=counters,
            views=views,
            looks_at=looks_at,
            packets=packets,
        )
        self._running: dict[str, SupervisedSource] = {}
        self._switch = Switch()

    def __bool__(self) -> bool:
        """Return whether there is any source."""
        return bool(self._new)

    def start(self, intake: Deliver, *, on_end: Callable[[], None] | None = None) -> None:
        """Begin to capture. `on_end` is called when a source has ended or was stopped."""
        if self._looks_at is not None:
            self._looks_at.follow(self._open_or_close_all)
        for name, source in self._new.items():
            supervised = SupervisedSource(
                f"{self._name}/{name}",
                source,
                intake,
                on_change=self._on_change,
                on_end=self._views.has_ended.set if name == "camera" and self._views is not None else on_end,
                resumes=not plays_once(name, self._config),
                expectation=expectation_of(name, self._config, self._modalities),
                inspect=Inspector(),
                judges=usage_judges(name, self._config, self._modalities),
            )
            self._running[name] = supervised
            self._open_or_close(name, supervised)
            supervised.start()

    @property
    def devices(self) -> frozenset[str]:
        """Which of `camera` and `microphone` the stream has, to be opened and closed."""
        devices = {"camera": self._config.camera, "microphone": self._config.microphone}
        return frozenset(name for name, config in devices.items() if config is not None)

    def turn(self, switch: Switch) -> None:
        """Close or open camera and microphone, now or, before the start, from the start on. Does not wait for it."""
        self._switch = switch
        self._open_or_close_all()
        if self._views is not None:
            self._views.switch(switch.paused or switch.blind)

    def look(self, processor: ProcessorShare) -> None:
        """Check that every source delivers and is used. Open again those that do not deliver."""
        for source in self._running.values():
            source.check(self._counters, processor)
        if self._views is not None and (camera := self._running.get("camera")) is not None:
            self._views.trouble = None if camera.status.state in DELIVERS else camera.status.reason

    def request_stop(self) -> None:
        """Ask every source to close."""
        for source in self._running.values():
            source.request_stop()

    def join(self, deadline_ns: int) -> list[str]:
        """Wait for the sources to close; return the names of those that have not closed by the deadline."""
        return [name for name, source in self._running.items() if not source.join(seconds_until(deadline_ns))]

    @property
    def heartbeats(self) -> list[Heartbeat]:
        """The heartbeats of the threads of the sources."""
        return [source.heartbeat for source in self._running.values()]

    @property
    def deliver(self) -> bool:
        """Whether any source delivers now."""
        return any(source.status.state in DELIVERS for source in self._running.values())

    @property
    def have_ended(self) -> bool:
        """Whether every source has ended."""
        return all(source.status.state == "ended" for source in self._running.values())

    @property
    def have_failed(self) -> bool:
        """Whether a file has ended before its end, because it is damaged or cut off."""
        return any(source.has_failed for source in self._running.values())

    def health(self) -> dict[str, SourceHealth]:
        """Return a snapshot of each source for the health payload."""
        return {name: source_health(source) for name, source in self._running.items()}

    def is_open(self, device: str) -> bool | None:
        """Return whether a device is open or is to be opened; None when none is used."""
        source = self._running.get("camera" if self._carries_sound else device)
        if device not in self.devices or source is None:
            return None
        # a source that serves both remains open for one of them; frames or blocks of the other are dropped
        is_covered = self._carries_sound and (self._switch.blind if device == "camera" else self._switch.muted)
        return source.status.state != "paused" and not is_covered

    @property
    def _carries_sound(self) -> bool:
        """Whether the camera is the microphone too."""
        return self._config.microphone is not None and self._config.microphone.device == "camera"

    def _open_or_close_all(self) -> None:
        for name, source in self._running.items():
            self._open_or_close(name, source)

    def _open_or_close(self, name: str, source: SupervisedSource) -> None:
        switch = self._switch
        closed = {
            "camera": switch.blind and (switch.muted or not self._carries_sound),
            "microphone": switch.muted,
            "replay": False,
        }
        viewed = self._looks_at
        if switch.paused or closed[name]:
            source.pause()
        elif name == "camera" and viewed is not None and viewed.is_closed:
            source.pause(waits_for(viewed.stream, "it is closed on request"))
        else:
            source.resume()
