"""One stream of the node: its sources, its counters, and the pipeline that takes what they deliver."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from daemon.bundle.manifest import Manifest
from daemon.config.history import HistoryConfig
from daemon.config.streams import StreamConfig
from daemon.core.errors import Refused
from daemon.core.records import Counters, EndedBy, Modality
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import Fused, FusionHead, StreamFusion
from daemon.node.health import StreamHealth
from daemon.node.input_health import inputs_health
from daemon.node.intake import Intake
from daemon.node.near_misses import NearMisses
from daemon.node.peaks import EventPeaks, PeakQueue
from daemon.node.stream_publisher import PublishedBundle, StreamPublisher
from daemon.node.stream_sources import StreamSources
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.gates import Gates
from daemon.pipeline.keep_alive import EmbeddingRepeater, KeepAlive, keep_alive_rules
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream, Publish
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation, encoder_counters
from daemon.pipeline.recent import RecentInput
from daemon.pipeline.recogniser import Recogniser, event_settings
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.processor import ProcessorShare
from daemon.sources.factory import keeps_packets
from daemon.sources.text import TextInlet
from daemon.sources.view import Views

if TYPE_CHECKING:
    from daemon.history.ring import MediaRing
    from daemon.node.history_inbox import HistoryInbox

NO_VIEWS: Mapping[str, Views] = MappingProxyType({})


class Stream:
    """Wires one stream. `start_live` or `start_in_order` begins to capture."""

    def __init__(
        self,
        name: str,
        config: StreamConfig,
        recogniser: Recogniser,
        bundle: PublishedBundle,
        publisher: StreamPublisher,
        counters: dict[Modality, Counters],
        *,
        on_change: Callable[[], None],
        peaks: PeakQueue | None = None,
        views: Mapping[str, Views] = NO_VIEWS,
        history: HistoryConfig | None = None,
        inbox: "HistoryInbox | None" = None,
    ) -> None:
        """Raises Refused when the bundle uses nothing that the stream's sources deliver.

        `on_change` is called when the state of a source or of the switch has changed. `peaks` takes the peaks of events
        where labels can be taught; None: they cannot. `views` has the cameras that other streams look at, by stream.
        `history` says how events are kept, and `inbox` takes them; None: none are.
        """
        self.name = name
        self.counters = counters
        # what teaching needs: the latest input before the gates, and the strongest moment of each event
        is_taught = peaks is not None and not config.is_in_order
        self.recent = RecentInput(recogniser.bundle.manifest) if is_taught else None
        self.peaks = EventPeaks(name, peaks) if peaks is not None and is_taught else None
        self._near_misses = NearMisses(name, peaks) if peaks is not None and is_taught else None
        self.ring = None if history is None or config.is_in_order else _new_ring(config, history)
        self._inbox = inbox
        self._config = config
        self._recogniser, self._bundle = recogniser, bundle
        self._publisher = publisher
        self._on_change = on_change
        self._stop = threading.Event()
        self._gates = Gates(config.gates)
        self._gates.adapt_to(recogniser.bundle.manifest)
        self._switch = Switch()
        self._flow: LiveFlow | None = None
        self._ordered_flow: OrderedFlow | None = None
        self._inlet: TextInlet | None = None
        manifest = recogniser.bundle.manifest
        self._takes_text = config.text.enabled and "text" in manifest.senses and not config.is_in_order
        own, viewed = views.get(name), config.camera.view_of if config.camera is not None else None
        self._looks_at = None if viewed is None else views.get(viewed)
        # what people who look at the node see of the stream
        self.watching = Watching(name, self._gates)
        self._intake = Intake(config, counters, publisher, self.recent, self.watching, own, self.ring)
        self._sources = StreamSources(
            name,
            config,
            manifest,
            counters,
            on_change=on_change,
            views=own,
            looks_at=self._looks_at,
            packets=None if self.ring is None else self._intake.take_packet,
        )
        if not self._sources and not self._takes_text:
            raise Refused(f"streams.{name}: captures nothing that the bundle {manifest.id} uses")

    def live(self, recogniser: Recogniser, bundle: PublishedBundle, head: FusionHead) -> LiveStream:
        """Return what the shared fusion thread needs of this stream under a bundle."""
        manifest = recogniser.bundle.manifest
        counters = encoder_counters(manifest.encoder_modalities, self.counters)
        return LiveStream(self.name, self._new_fusion(recogniser, head), self._publisher_of(manifest, bundle), counters)

    def start_live(self, live: LiveStream, encoders: EncoderPool, fusion: LiveFusion) -> None:
        """Begin to capture, with text from MQTT where it is enabled."""
        flow = self._flow = LiveFlow(self._lane(self._recogniser, live, encoders, fusion), self._gates)
        if self._takes_text:
            self._inlet = TextInlet(self._intake.into(flow.deliver), self.counters["text"])
        if self._looks_at is not None:
            self._looks_at.follow(self._forget_view)
        self._sources.start(self._intake.into(flow.deliver))

    def next_lane(
        self,
        recogniser: Recogniser,
        bundle: PublishedBundle,
        head: FusionHead,
        encoders: EncoderPool,
        fusion: LiveFusion,
    ) -> Lane:
        """Return a lane for a bundle that the same sources serve, to switch to. Only for a live stream."""
        return self._lane(recogniser, self.live(recogniser, bundle, head), encoders, fusion)

    def switch_lane(self, recogniser: Recogniser, lane: Lane) -> LiveStream:
        """Send what is captured from now on to another bundle's lane; return the stream under the old bundle."""
        if self._flow is None:
            raise RuntimeError(f"{self.name} has not started live")
        self._gates.adapt_to(recogniser.bundle.manifest)
        if self.recent is not None:
            self.recent.adapt_to(recogniser.bundle.manifest)
        replaced = self._flow.switch_to(lane)
        self._recogniser = recogniser
        return replaced

    def start_in_order(self, encoders: EncoderPool) -> None:
        """Begin to replay as fast as the encoders can."""
        manifest = self._recogniser.bundle.manifest
        counters = encoder_counters(manifest.encoder_modalities, self.counters)
        flow = self._ordered_flow = OrderedFlow(
            self.name,
            Preparation(manifest, counters),
            encoders,
            self._new_fusion(self._recogniser, self._recogniser.new_head()),
            self._publisher_of(manifest, self._bundle),
            counters,
            self._stop,
            self._gates,
            KeepAlive(keep_alive_rules(manifest, self._config.gates)),
        )
        self._sources.start(self._intake.into(flow.deliver), on_end=flow.finish)

    @property
    def is_live(self) -> bool:
        """Whether the stream can be paused: a replay as fast as possible cannot."""
        return not self._config.is_in_order

    @property
    def is_camera_closed(self) -> bool:
        """Whether the camera is closed on request, also that of another stream at which this one looks."""
        is_view_closed = self._looks_at is not None and self._looks_at.is_closed
        return self._switch.paused or self._switch.blind or is_view_closed

    @property
    def takes_text(self) -> bool:
        """Whether the stream has a text inlet now."""
        return self._inlet is not None

    @property
    def delay_ns(self) -> int:
        """How long after its capture the input is recognised by design. The times in `recent` are as much later."""
        return self._publisher.delay_ns

    @property
    def devices(self) -> frozenset[str]:
        """Which of `camera` and `microphone` the stream has, to be opened and closed."""
        return self._sources.devices

    @property
    def switch(self) -> Switch:
        """Which devices of the stream are closed on request."""
        return self._switch

    def turn(self, switch: Switch) -> None:
        """Close or open camera and microphone, now or, before the start, from the start on. Does not wait for it.

        Only for a live stream.
        """
        if switch == self._switch:
            return
        was_paused, self._switch = self._switch.paused, switch
        self._intake.turn(switch)
        self._sources.turn(switch)
        if self._flow is not None and switch.paused != was_paused:
            if switch.paused:
                self._flow.pause()
            else:
                self._flow.resume()
        self._on_change()

    def take(self, payload: bytes, retained: bool) -> None:
        """Take a text that came over MQTT. Implements TextSink, for a stream that takes text."""
        if self._inlet is None:
            raise RuntimeError(f"{self.name} has no text inlet")
        if self._switch.paused:
            self.counters["text"].drop("paused")
        else:
            self._inlet.receive(payload, retained)

    def look(self, processor: ProcessorShare) -> None:
        """Check that every source delivers and is used. Open again those that do not deliver."""
        self._sources.look(processor)

    def request_stop(self, ended_by: EndedBy = "stopped") -> None:
        """Ask every source to close; the events of a replay in order end with this reason."""
        if self._ordered_flow is not None:
            self._ordered_flow.ended_by = ended_by
        self._stop.set()
        self._sources.request_stop()

    def join(self, deadline_ns: int) -> list[str]:
        """Wait for the sources to close; return the names of those that have not closed by the deadline."""
        return self._sources.join(deadline_ns)

    @property
    def heartbeats(self) -> list[Heartbeat]:
        """The heartbeats of the threads of the sources."""
        return self._sources.heartbeats

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be captured any more: there is no text inlet, and every source has ended."""
        return self._inlet is None and self._sources.have_ended

    @property
    def has_failed(self) -> bool:
        """Whether a file has ended before its end, because it is damaged or cut off."""
        return self._sources.have_failed

    def health(self) -> StreamHealth:
        """Return a snapshot for the health payload."""
        return StreamHealth(
            sources=self._sources.health(),
            inputs=inputs_health(self._recogniser.bundle.manifest.encoder_modalities, self.counters),
            recognitions=self._publisher.recognitions,
            events=self._publisher.events,
            available=not self._switch.paused and (self._inlet is not None or self._sources.deliver),
            paused=self._switch.paused,
            camera=self._sources.is_open("camera"),
            microphone=self._sources.is_open("microphone"),
        )

    def _forget_view(self) -> None:
        """Forget the pictures of another stream's camera once it is closed on request."""
        if self._looks_at is not None and self._looks_at.is_closed:
            self._intake.forget("image")

    def _publisher_of(self, manifest: Manifest, bundle: PublishedBundle) -> Publish:
        settings = event_settings(manifest, self._config.events, self.name)
        return partial(self._publish, bundle.with_labels(manifest.labels_in(self.name)), settings)

    def _publish(self, bundle: PublishedBundle, settings: EventSettings, fused: Fused) -> None:
        self._publisher.publish(bundle, fused)
        self.watching.observe(bundle, fused, self._publisher.delay_ns)
        if self._inbox is not None:
            self._inbox.observe(self.name, bundle.view.id, settings, fused, self._publisher.delay_ns)
        if self.peaks is not None:
            self.peaks.observe(bundle.view.labels, bundle.fingerprints, fused, self._publisher.delay_ns)
        if self._near_misses is not None:
            labels, delay_ns = bundle.view.labels, self._publisher.delay_ns
            self._near_misses.observe(labels, bundle.fingerprints, bundle.taught, fused, delay_ns)

    def _lane(self, recogniser: Recogniser, live: LiveStream, encoders: EncoderPool, fusion: LiveFusion) -> Lane:
        manifest = recogniser.bundle.manifest
        rules = keep_alive_rules(manifest, self._config.gates)
        # without gates no embedding is repeated
        repeater = EmbeddingRepeater(rules) if rules else None
        return Lane(live, Preparation(manifest, live.counters), encoders, fusion, repeater)

    def _new_fusion(self, recogniser: Recogniser, head: FusionHead) -> StreamFusion:
        return recogniser.new_fusion(head, self.name, self._config.fusion, self._config.events)


def _new_ring(config: StreamConfig, history: HistoryConfig) -> "MediaRing":
    """Return what keeps the latest seconds of a stream: an event is known `min_duration_s` after it has begun."""
    from daemon.history.ring import MediaRing  # only a node that keeps events loads it

    return MediaRing(has_packets=keeps_packets(config), before_s=history.before_s + config.events.min_duration_s)
