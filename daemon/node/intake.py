"""What the sources of one stream have captured on its way to the pipeline: counted, corrected in time, remembered."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from daemon.config.streams import PictureConfig, Region, StreamConfig
from daemon.core.media import MediaPacket
from daemon.core.ports import Deliver
from daemon.core.records import Captured, Counters, Frame, Modality, delay_of, modality_of, moved
from daemon.core.timing import NS_PER_MS
from daemon.node.stream_publisher import StreamPublisher
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.recent import RecentInput
from daemon.sources.picture import PicturePreparation
from daemon.sources.view import Views

if TYPE_CHECKING:
    from daemon.history.ring import MediaRing


class Intake:
    """Takes what the sources of one stream capture, on their threads."""

    def __init__(
        self,
        config: StreamConfig,
        counters: Mapping[Modality, Counters],
        publisher: StreamPublisher,
        recent: RecentInput | None,
        watching: Watching,
        views: Views | None = None,
        ring: "MediaRing | None" = None,
    ) -> None:
        """`recent` keeps the latest input for teaching, and `ring` for the history; None: nothing is kept.

        `watching` shows the latest input to those who look.
        `views` gets the pictures before the region of the camera is cut out, where other streams look at the camera.
        `ring` keeps the latest seconds for the clips of events; None: no events are kept.
        """
        camera, microphone = config.camera, config.microphone
        self._offsets_ns: dict[Modality, int] = {
            "image": round(camera.offset_ms * NS_PER_MS) if camera else 0,
            "audio": round(microphone.offset_ms * NS_PER_MS) if microphone else 0,
            "text": 0,
        }
        self._counters = counters
        self._publisher = publisher
        self._keepers: list[RecentInput | MediaRing] = [keeper for keeper in (recent, ring) if keeper is not None]
        self._ring = ring
        self._watching = watching
        self._switch = Switch()
        self._views = views
        self._region = PicturePreparation(PictureConfig(region=camera.region if camera else Region()))

    def into(self, deliver: Deliver) -> Deliver:
        """Return what takes in an item and passes it on."""
        return partial(self._take, deliver)

    def turn(self, switch: Switch) -> None:
        """Drop from now on what comes of a closed device, and forget what it has delivered before."""
        self._switch = switch
        if switch.paused:
            self.forget("image", "audio", "text")
        if switch.blind:
            self.forget("image")
        if switch.muted:
            self.forget("audio")

    def take_packet(self, packet: MediaPacket) -> None:
        """Keep a coded packet for the history, unless its device is closed. Implements PacketSink."""
        modality: Modality = "image" if packet.format.kind == "video" else "audio"
        if self._ring is not None and not self._is_closed(modality) and not self._switch.paused:
            by_ns = self._offsets_ns[modality] + packet.delay_ns
            self._ring.add_packet(replace(packet, captured_ns=packet.captured_ns + by_ns))
            self._forget_if_closed(modality)

    def forget(self, *modalities: Modality) -> None:
        """Forget what was captured of these modalities."""
        self._watching.forget(*modalities)
        for keeper in self._keepers:
            keeper.forget(*modalities)

    def _take(self, deliver: Deliver, captured: Captured) -> None:
        modality = modality_of(captured)
        # a camera with sound, or a recording, delivers both while one of them is closed
        if self._is_closed(modality):
            self._counters[modality].drop("closed")
            return
        self._counters[modality].captured += 1
        if self._views is not None and isinstance(captured, Frame):
            self._views.publish(replace(captured, captured_ns=captured.captured_ns + self._offsets_ns["image"]))
            captured = self._region.prepare(captured)
        delay_ns = delay_of(captured)
        if delay_ns:
            self._publisher.delay_ns = delay_ns
        # fusion drops what is old when it comes, so what is delayed by design counts from when it is played
        captured = moved(captured, self._offsets_ns[modality] + delay_ns)
        if not self._switch.paused:
            self._watching.see(captured)
            for keeper in self._keepers:
                keeper.add(captured)
            self._forget_if_closed(modality)
        deliver(captured)

    def _forget_if_closed(self, modality: Modality) -> None:
        """Forget what was kept while another thread closed its device, which forgot all before."""
        if self._switch.paused or self._is_closed(modality):
            self.forget(modality)

    def _is_closed(self, modality: Modality) -> bool:
        return (modality == "audio" and self._switch.muted) or (modality == "image" and self._switch.blind)
