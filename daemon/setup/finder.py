"""What the questions need to know about this machine and its network: a port, and the search behind it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from daemon.config.streams import CameraConfig, StreamConfig
from daemon.setup.found import FoundAccelerator, FoundBroker, FoundCamera, FoundMicrophone, Level, OnePicture


class Finder(Protocol):
    """Finds what there is to choose from. `network`: whether it may ask the local network; None: nobody has said.

    Its methods raise SearchFailed, and take seconds at most.
    """

    network: bool | None

    def cameras(self) -> list[FoundCamera]:
        """Return the cameras of this machine, and of the network where that is allowed."""

    def addresses(self, service: str, login: tuple[str, str] | None) -> list[FoundCamera]:
        """Return the streams of a network camera, by its ONVIF service."""

    def microphones(self) -> list[FoundMicrophone]:
        """Return the microphones of this machine."""

    def brokers(self) -> list[FoundBroker]:
        """Return the brokers of this machine, and of the network where that is allowed."""

    def accelerators(self) -> list[FoundAccelerator]:
        """Return the accelerators of this machine."""

    def picture(self, camera: CameraConfig) -> OnePicture:
        """Return one picture of a camera, as a node would see it."""

    def sound(self, stream: StreamConfig) -> AbstractContextManager[Iterator[Level]]:
        """Return a meter of the stream's microphone, with ten levels a second."""
