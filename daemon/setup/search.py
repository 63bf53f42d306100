"""Searches this machine, and its network where that is allowed."""

from collections.abc import Iterator
from contextlib import contextmanager

from daemon.config.streams import CameraConfig, StreamConfig
from daemon.setup.accelerators import accelerators
from daemon.setup.brokers import brokers
from daemon.setup.cameras import local_cameras, network_cameras
from daemon.setup.found import (
    FoundAccelerator,
    FoundBroker,
    FoundCamera,
    FoundMicrophone,
    Level,
    OnePicture,
    SearchFailed,
)
from daemon.setup.levels import LevelMeter
from daemon.setup.microphones import microphones
from daemon.setup.onvif import rtsp_addresses
from daemon.setup.picture import one_picture

# devices of a network that is in order answer within a second
NETWORK_S = 5.0
BROKERS_S = 3.0
ADDRESSES_S = 10.0

# a network camera says after 20 s that it sends nothing, and what may be wrong
PICTURE_S = 25.0


class Search:
    """The Finder of a setup."""

    def __init__(self, *, network: bool | None) -> None:
        """`network`: whether it may ask the local network; None: nobody has said."""
        self.network = network

    def cameras(self) -> list[FoundCamera]:
        """Return the cameras of this machine, and of the network where that is allowed."""
        return local_cameras() + (network_cameras(NETWORK_S) if self.network else [])

    def addresses(self, service: str, login: tuple[str, str] | None) -> list[FoundCamera]:
        """Return the streams of a network camera, by its ONVIF service."""
        return rtsp_addresses(service, login, ADDRESSES_S)

    def microphones(self) -> list[FoundMicrophone]:
        """Return the microphones of this machine."""
        return microphones()

    def brokers(self) -> list[FoundBroker]:
        """Return the brokers of this machine, and of the network where that is allowed."""
        return brokers(BROKERS_S, network=bool(self.network))

    def accelerators(self) -> list[FoundAccelerator]:
        """Return the accelerators of this machine."""
        return accelerators()

    def picture(self, camera: CameraConfig) -> OnePicture:
        """Return one picture of a camera, as a node would see it."""
        return one_picture(camera, PICTURE_S)

    @contextmanager
    def sound(self, stream: StreamConfig) -> Iterator[Iterator[Level]]:
        """Yield the levels of the stream's microphone, ten a second."""
        if stream.microphone is None:
            raise SearchFailed("this place has no microphone")
        with LevelMeter(stream.camera, stream.microphone) as meter:
            yield meter.levels()
