"""One stream of the node: its sources, its counters, and the flow that takes what they deliver."""

import threading
from collections.abc import Callable
from functools import partial

from daemon.config.streams import StreamConfig
from daemon.core.errors import Refused
from daemon.core.ports import Deliver
from daemon.core.records import MODALITIES, Captured, Counters, Modality, modality_of, moved
from daemon.core.timing import NS_PER_MS, seconds_until
from daemon.fusion.fuse import FusionHead, StreamFusion
from daemon.node.health import StreamHealth, input_health, source_health
from daemon.node.stream_publisher import Shown, StreamPublisher
from daemon.node.switches import Switch
from daemon.pipeline.encode import Encoders, Preparation
from daemon.pipeline.keep_alive import Gates, KeepAlive, Kept, rules_of
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream, Order
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.recogniser import Recogniser
from daemon.runtime.liveness import DELIVERS
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.factory import build_sources, expectation_of
from daemon.sources.quality import Inspector
from daemon.sources.text import TextInlet


def is_in_order(config: StreamConfig) -> bool:
    """Whether the stream is replayed as fast as possible, in order and without loss."""
    return config.replay is not None and config.replay.pace == "fast"


class Stream:
    """Wires one stream; `start_live` or `start_in_order` begins to capture.

    Raises Refused when what the config says of its sources cannot be used with the bundle.
    """

    def __init__(
        self,
        name: str,
        config: StreamConfig,
        recogniser: Recogniser,
        shown: Shown,
        publisher: StreamPublisher,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self.name = name
        self._config = config
        self._recogniser, self._shown = recogniser, shown
        self._publisher = publisher
        self._on_change = on_change
        self._stop = threading.Event()
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        self._gates = Gates(config.gates)
        self._gates.suit(recogniser.bundle.manifest)
        self._sources: dict[str, SupervisedSource] = {}
        self._switch = Switch()
        self._flow: LiveFlow | None = None
        self._order: Callable[[Order], None] = lambda _: None
        self.inlet: TextInlet | None = None
        modalities = recogniser.bundle.manifest.modalities
        self._wanted = frozenset(modalities.present())
        self._takes_text = config.text.enabled and modalities.text is not None and not is_in_order(config)
        self._new_sources = build_sources(
            config,
            sample_rate_hz=modalities.audio.preprocessing.sample_rate_hz if modalities.audio else None,
            picture=modalities.image is not None,
            counters=self.counters,
        )
        if not self._new_sources and not self._takes_text:
            raise Refused(f"streams.{name}: captures nothing that the bundle {recogniser.bundle.manifest.id} takes")

    def live(self, recogniser: Recogniser, shown: Shown, head: FusionHead) -> LiveStream:
        """What the shared fusion thread needs of this stream under a bundle."""
        return LiveStream(
            self.name, self._new_fusion(recogniser, head), partial(self._publisher.publish, shown), self.counters
        )

    def start_live(self, live: LiveStream, encoders: Encoders, fusion: LiveFusion) -> None:
        """Begin to capture, with text from MQTT where it is enabled."""
        flow = self._flow = LiveFlow(self._lane(self._recogniser, live, encoders, fusion), self._gates)
        self._order = lambda order: fusion.order(flow.stream, order)
        if self._takes_text:
            self.inlet = TextInlet(self._counted(flow.deliver), self.counters["text"])
        self._start_sources(flow.deliver)

    def prepare_change(
        self, recogniser: Recogniser, shown: Shown, head: FusionHead, encoders: Encoders, fusion: LiveFusion
    ) -> Callable[[], LiveStream]:
        """Make ready for another bundle that takes what this one does; what is returned changes to it.

        That gives the stream as it was before. Only for a live stream that has started.
        """
        if self._flow is None:
            raise RuntimeError(f"{self.name} has not started live")
        flow, lane = self._flow, self._lane(recogniser, self.live(recogniser, shown, head), encoders, fusion)

        def change() -> LiveStream:
            self._gates.suit(recogniser.bundle.manifest)
            left = flow.change(lane)
            self._recogniser = recogniser
            return left

        return change

    def start_in_order(self, encoders: Encoders) -> None:
        """Begin to replay as fast as the encoders can."""
        manifest = self._recogniser.bundle.manifest
        flow = OrderedFlow(
            self.name,
            Preparation(manifest, self.counters),
            encoders,
            self._new_fusion(self._recogniser, self._recogniser.new_head()),
            partial(self._publisher.publish, self._shown),
            self.counters,
            self._stop,
            self._gates,
            KeepAlive(rules_of(manifest.modalities, self._config.gates)),
        )
        # after a failure it would begin again at another time than its fusion has come to
        self._start_sources(flow.deliver, on_end=flow.finish, resumes=False)

    @property
    def is_live(self) -> bool:
        """Whether it can be paused: a replay as fast as possible has no breaks."""
        return not is_in_order(self._config)

    @property
    def devices(self) -> frozenset[str]:
        """Which of camera and microphone it has that can be opened and closed."""
        named = {"camera": self._config.camera, "microphone": self._config.microphone}
        return frozenset(name for name, config in named.items() if config is not None)

    @property
    def switch(self) -> Switch:
        """What of the stream is to be closed."""
        return self._switch

    def turn(self, switch: Switch) -> None:
        """Close or open camera and microphone, now or, before it has started, from the start.

        Does not wait for that. Only for a live stream.
        """
        if switch == self._switch:
            return
        was_paused, self._switch = self._switch.paused, switch
        for name, source in self._sources.items():
            self._open_or_close(name, source)
        if switch.paused != was_paused:
            self._order("pause" if switch.paused else "resume")
        self._on_change()

    def take_text(self, payload: bytes, retained: bool) -> bool:
        """Take a text for the inlet; False when there is none."""
        if self.inlet is None:
            return False
        if self._switch.paused:
            self.counters["text"].drop("paused")
        else:
            self.inlet.receive(payload, retained)
        return True

    def look(self) -> None:
        """See whether every source still delivers what it should."""
        for source in self._sources.values():
            source.check()

    def request_stop(self) -> None:
        """Ask every source to close."""
        self._stop.set()
        for source in self._sources.values():
            source.request_stop()

    def join(self, deadline_ns: int) -> list[str]:
        """Wait for the sources to close; gives the names of those that had not by the deadline."""
        return [name for name, source in self._sources.items() if not source.join(seconds_until(deadline_ns))]

    @property
    def has_ended(self) -> bool:
        """Whether nothing can come any more: no inlet, and every source has come to its end."""
        states = [source.status.state for source in self._sources.values()]
        return self.inlet is None and all(state == "ended" for state in states)

    def health(self) -> StreamHealth:
        """A snapshot for the health payload."""
        present = self._recogniser.bundle.manifest.modalities.present()
        return StreamHealth(
            sources={name: source_health(source) for name, source in self._sources.items()},
            inputs={modality: input_health(self.counters[modality]) for modality in present},
            recognitions=self._publisher.recognitions,
            events=self._publisher.events,
            available=not self._switch.paused and (self.inlet is not None or self._delivers),
            camera=self._is_open("camera"),
            microphone=self._is_open("microphone"),
        )

    @property
    def _delivers(self) -> bool:
        return any(source.status.state in DELIVERS for source in self._sources.values())

    def _is_open(self, device: str) -> bool | None:
        """Whether a device is open, or to be opened; None when there is none that is used."""
        source = self._sources.get("camera" if self._carries_sound else device)
        if device not in self.devices or source is None:
            return None
        # what two share stays open for one; what comes of the other is thrown away
        is_covered = self._carries_sound and (self._switch.blind if device == "camera" else self._switch.muted)
        return source.status.state != "paused" and not is_covered

    @property
    def _carries_sound(self) -> bool:
        """Whether the camera is the microphone too."""
        return self._config.microphone is not None and self._config.microphone.device == "camera"

    def _lane(self, recogniser: Recogniser, live: LiveStream, encoders: Encoders, fusion: LiveFusion) -> Lane:
        manifest = recogniser.bundle.manifest
        rules = rules_of(manifest.modalities, self._config.gates)
        kept = Kept(rules) if rules else None  # without gates nothing stands for anything
        return Lane(live, Preparation(manifest, self.counters), encoders, fusion, kept)

    def _new_fusion(self, recogniser: Recogniser, head: FusionHead) -> StreamFusion:
        return recogniser.new_fusion(head, self._config.fusion, self._config.events)

    def _start_sources(
        self, deliver: Deliver, *, on_end: Callable[[], None] | None = None, resumes: bool = True
    ) -> None:
        for name, source in self._new_sources.items():
            supervised = SupervisedSource(
                f"{self.name}/{name}",
                source,
                self._counted(deliver),
                on_change=self._on_change,
                on_end=on_end,
                resumes=resumes,
                expectation=expectation_of(name, self._config, self._wanted),
                inspect=Inspector(),
            )
            self._sources[name] = supervised
            self._open_or_close(name, supervised)
            supervised.start()

    def _open_or_close(self, name: str, source: SupervisedSource) -> None:
        switch = self._switch
        closed = {
            "camera": switch.blind and (switch.muted or not self._carries_sound),
            "microphone": switch.muted,
            "replay": False,
        }
        if switch.paused or closed[name]:
            source.pause()
        else:
            source.resume()

    def _counted(self, deliver: Deliver) -> Deliver:
        camera, microphone = self._config.camera, self._config.microphone
        offsets_ns: dict[Modality, int] = {
            "image": round(camera.offset_ms * NS_PER_MS) if camera else 0,
            "audio": round(microphone.offset_ms * NS_PER_MS) if microphone else 0,
            "text": 0,
        }

        def count_and_deliver(captured: Captured) -> None:
            modality = modality_of(captured)
            # of a camera's own stream, or a recording
            if (modality == "audio" and self._switch.muted) or (modality == "image" and self._switch.blind):
                self.counters[modality].drop("closed")
                return
            self.counters[modality].captured += 1
            deliver(moved(captured, offsets_ns[modality]))

        return count_and_deliver
