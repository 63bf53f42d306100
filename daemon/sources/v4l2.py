"""A camera of the machine's own, through V4L2, captured in a child process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from daemon.children.pictures import SLOT_BYTES, WAITING_PICTURES, unpack
from daemon.errors import ChildError, SourceError
from daemon.ports import Deliver
from daemon.records import Counters, Frame, Modality
from daemon.runtime.child import Child, RecordInlet
from daemon.runtime.ring import Record
from daemon.sources.devices import list_cameras
from daemon.sources.picture import PicturePreparation

WATCH = "daemon.children.camera:watch"

LOOK_S = 0.1
"""How often we look whether to stop while there is no picture."""


@dataclass
class V4l2Camera:
    """Delivers every frame of a V4L2 device, stamped by its driver.

    A frame owns its pixels, copied once out of the memory that is shared with the `program`.
    """

    device: int | str
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    program: str = WATCH
    drift_ppm: float | None = field(default=None, init=False)
    _child: Child | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the camera is missing, cannot be opened or ends."""
        self._look_for_it()
        try:
            if self._child is not None:
                self._child.check_gone()
            with RecordInlet(WAITING_PICTURES, SLOT_BYTES) as inlet, self._watcher(inlet) as child:
                self._child = child
                self._pump(child, inlet, deliver, stop)
        except ChildError as error:
            raise SourceError(f"camera {self.device}: {error}") from error

    def _look_for_it(self) -> None:
        path = Path(f"/dev/video{self.device}" if isinstance(self.device, int) else self.device)
        if not path.exists():
            present = ", ".join(camera.device for camera in list_cameras())
            raise SourceError(f"camera {self.device}: there is no {path}; cameras here: {present or 'none'}")

    def _watcher(self, inlet: RecordInlet) -> Child:
        settings = {name: getattr(self, name) for name in ("device", "width", "height", "fps")}
        return Child(self.program, inlet.address, json.dumps(settings), inherits=inlet.descriptors)

    def _pump(self, child: Child, inlet: RecordInlet, deliver: Deliver, stop: Event) -> None:
        while not stop.is_set():
            for record in inlet.receive(child, LOOK_S):
                if record.payload:
                    self._take(record, deliver)

    def _take(self, record: Record, deliver: Deliver) -> None:
        picture = unpack(record.payload)
        if record.lost:
            self.counters["image"].drop("overflow", record.lost)
        if picture.is_damaged:
            self.counters["image"].drop("corrupt")
            return
        pixels = np.frombuffer(record.payload, np.uint8, offset=picture.offset)
        plane = pixels.reshape(picture.height, picture.width, -1)
        deliver(self.picture.prepare(Frame((plane,), picture.captured_ns)))
