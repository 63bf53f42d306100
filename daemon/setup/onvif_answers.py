"""What ONVIF cameras answer about their clock, their services and their streams. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import SplitResult, urlsplit, urlunsplit
from xml.etree.ElementTree import Element

from daemon.setup.soap import elements, first, first_of, number_of, text_of

# The namespaces of the service that lists streams. The first one knows H.265 too, and old cameras have only the second.
MEDIA_2 = "http://www.onvif.org/ver20/media/wsdl"
MEDIA_1 = "http://www.onvif.org/ver10/media/wsdl"

# a recorder has up to three streams for each of its cameras
MAX_PROFILES = 32

# of a URL, as config.yaml and FFmpeg take it
MAX_URL_CHARS = 1024

STREAM_SCHEMES = ("rtsp", "rtsps")


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream of a camera. `token` is its name in requests; `sound` is the codec of its sound, empty without any."""

    token: str
    name: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    sound: str = ""

    @property
    def details(self) -> str:
        """Size, codec and rate, as far as the camera says them."""
        size = f"{self.width}x{self.height}" if self.width and self.height else ""
        rate = f"{self.fps:g} fps" if self.fps else ""
        return " ".join(filter(None, (size, self.codec, rate)))


def clock_of(answer: Element) -> datetime | None:
    """Return the camera's clock in an answer to GetSystemDateAndTime; None where it does not tell UTC."""
    utc = first(answer, "UTCDateTime")
    numbers = [number_of(utc, name) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
    year, month, day, hour, minute, second = (-1 if number is None else int(number) for number in numbers)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None


def offset_of(clock: datetime | None, now: datetime) -> timedelta:
    """Return how far the camera's clock is ahead of ours."""
    return timedelta() if clock is None else clock - now


def media_services(answer: Element, service: str) -> dict[str, str]:
    """Return the URLs of the media services by namespace, in an answer to GetServices or GetCapabilities."""
    found = {}
    for each in elements(answer, "Service"):
        namespace = text_of(each, "Namespace").rstrip("/")
        if namespace in (MEDIA_1, MEDIA_2) and (url := at_host(text_of(each, "XAddr"), service)) is not None:
            found[namespace] = url
    if (url := at_host(text_of(answer, "Capabilities", "Media", "XAddr"), service)) is not None:
        found.setdefault(MEDIA_1, url)
    return found


def profiles_of(answer: Element) -> list[Profile]:
    """Return the streams in an answer to GetProfiles of either media service, the largest picture first."""
    profiles = [each for profile in elements(answer, "Profiles") if (each := _profile(profile)) is not None]
    return sorted(profiles[:MAX_PROFILES], key=_pixels, reverse=True)


def stream_url(answer: Element, service: str) -> str | None:
    """Return the RTSP URL in an answer to GetStreamUri, without a login; None where there is none that can be used.

    It is a URL at the host that was asked: cameras name addresses of another network, and a login goes there.
    """
    url = text_of(answer, "Uri")
    parts = _split(url)
    host = _split(service)
    if parts is None or host is None or parts.scheme not in STREAM_SCHEMES or len(url) > MAX_URL_CHARS:
        return None
    # config.yaml takes an @ only before the host
    path, query = (part.replace("@", "%40") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, _netloc(host.hostname, parts.port), path, query, ""))


def at_host(address: str, service: str) -> str | None:
    """Return the URL of another service of the same camera, at the host that was asked.

    A camera behind a router or in a container names an address that only it can reach: its path counts then.
    None: the address is none.
    """
    parts, asked = _split(address), _split(service)
    if parts is None or asked is None or not parts.path.startswith("/"):
        return None
    if parts.scheme not in ("http", "https", ""):
        return None
    if parts.hostname != asked.hostname:
        parts = parts._replace(scheme=asked.scheme, netloc=_netloc(asked.hostname, asked.port))
    return urlunsplit(parts._replace(netloc=_netloc(parts.hostname, parts.port), fragment=""))


def _profile(profile: Element) -> Profile | None:
    token = profile.get("token", "")
    if not token or len(token) > MAX_URL_CHARS:
        return None
    # the names of Media 1, and those of Media 2
    video = first_of(profile, "VideoEncoderConfiguration", "VideoEncoder")
    sound = first_of(profile, "AudioEncoderConfiguration", "AudioEncoder")
    return Profile(
        token,
        text_of(profile, "Name")[:80],
        text_of(video, "Encoding")[:20],
        round(number_of(video, "Resolution", "Width") or 0),
        round(number_of(video, "Resolution", "Height") or 0),
        number_of(video, "FrameRateLimit") or 0.0,
        text_of(sound, "Encoding")[:20],
    )


def _pixels(profile: Profile) -> int:
    return profile.width * profile.height


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _netloc(host: str | None, port: int | None) -> str:
    name = f"[{host}]" if host and ":" in host else host or ""
    return name if port is None else f"{name}:{port}"
