"""What the sources of one stream have captured on its way to the pipeline: counted, corrected in time, remembered."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from daemon.config.streams import PictureConfig, Region, StreamConfig
from daemon.core.ports import Deliver
from daemon.core.records import Captured, Counters, Frame, Modality, delay_of, modality_of, moved
from daemon.core.timing import NS_PER_MS
from daemon.history.ring import MediaRing
from daemon.node.stream_publisher import StreamPublisher
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.recent import RecentInput
from daemon.sources.picture import PicturePreparation
from daemon.sources.view import Views


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
        ring: MediaRing | None = None,
    ) -> None:
        """`recent` keeps the latest input for teaching; None: nothing is kept.

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
        self._recent = recent
        self._watching = watching
        self._ring = ring
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
            self._forget("image", "audio", "text")
        if switch.blind:
            self._forget("image")
        if switch.muted:
            self._forget("audio")

    def _forget(self, *modalities: Modality) -> None:
        self._watching.forget(*modalities)
        if self._recent is not None:
            self._recent.forget(*modalities)
        if self._ring is not None:
            self._ring.forget(*modalities)

    def _take(self, deliver: Deliver, captured: Captured) -> None:
        modality = modality_of(captured)
        # a camera with sound, or a recording, delivers both while one of them is closed
        if (modality == "audio" and self._switch.muted) or (modality == "image" and self._switch.blind):
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
            if self._recent is not None:
                self._recent.add(captured)
            if self._ring is not None:
                self._ring.add(captured)
        deliver(captured)
