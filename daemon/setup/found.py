"""The records of what setup finds on this machine and, when allowed, on its network."""

from dataclasses import dataclass
from typing import Literal

from daemon.core.errors import PerceptdError


class SearchFailed(PerceptdError):
    """A camera, a microphone or a broker does not answer as expected. `needs_login`: it refuses without another login.

    The message says what was asked, what came back, and what to do.
    """

    def __init__(self, message: str, *, needs_login: bool = False) -> None:
        super().__init__(message)
        self.needs_login = needs_login


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera of this machine, or one stream of a network camera.

    `device` is the value for `camera.device`, without a login. It is empty for a network camera that tells its
    addresses only to somebody who logs in: `rtsp_addresses(onvif, login)` returns them.
    `details` has the size and the codec, where they are known. `has_sound` is None where it is not known.
    `onvif` is the address of the camera's ONVIF service; None: the camera has none.
    """

    device: str
    name: str
    details: str = ""
    needs_login: bool = False
    has_sound: bool | None = None
    onvif: str | None = None


@dataclass(frozen=True, slots=True)
class FoundMicrophone:
    """A microphone. `device` is the value for `microphone.device`; `name` is what its maker calls it."""

    device: str
    name: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class FoundBroker:
    """An MQTT broker. `needs_login` is None where the broker did not answer. `tls`: its port expects TLS."""

    host: str
    port: int
    found_by: Literal["mdns", "localhost", "home-assistant"]
    needs_login: bool | None
    tls: bool = False


@dataclass(frozen=True, slots=True)
class FoundAccelerator:
    """An accelerator. `device` is its name in `devices`; `problem` says why it does not work, and what to do."""

    device: str
    name: str
    works: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """The loudness of a tenth of a second of sound, in dB below full scale: 0 is the loudest, silence is -100."""

    dbfs: float
    peak_dbfs: float


@dataclass(frozen=True, slots=True)
class OnePicture:
    """One picture as JPEG, as the node would see it. `brightness` is its mean luma, from 0 (black) to 1 (white)."""

    jpeg: bytes
    width: int
    height: int
    brightness: float
