"""Reads HLS playlists (RFC 8216). Pure: no network. Raises SourceError for a playlist that cannot be played."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urljoin, urlsplit

from daemon.core.errors import SourceError
from daemon.core.timing import EPOCH, NS_PER_S

# A day of segments of 4 s each. More are an attack.
MAX_SEGMENTS = 20_000

MAX_VARIANTS = 200

BYTE_ORDER_MARK = "\ufeff"

# RFC 8216 bounds no duration. Nobody can wait for a longer segment.
MAX_DURATION_S = 600.0

# 64 bits have 20 digits.
NUMBER = re.compile(r"\d{1,20}")
ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|([+-])(\d\d):?(\d\d))?")

# The names of RFC 6381 for codecs of sound.
SOUND_CODECS = ("mp4a", "ac-3", "ec-3", "opus", "Opus", "fLaC", "flac", "mp3", "mha1", "mhm1")

# A recogniser scales pictures down. Fewer lines are easier to decode, but a region or a mask needs some detail.
ENOUGH_LINES = 480


@dataclass(frozen=True, slots=True)
class Resource:
    """What a playlist at the URL `base` names, or `byte_range` of it: the first byte, and the number of bytes.

    `base` empty: the URL of the configuration.
    """

    reference: str = field(repr=False)
    base: str = field(default="", repr=False)
    byte_range: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        """The URL. Raises SourceError where it is neither http nor https."""
        return resolve(self.base, self.reference) if self.base else self.reference


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a playlist, with its media sequence number.

    `header` is the initialisation section of fragmented MP4. `starts_anew`: EXT-X-DISCONTINUITY stands before it.
    `dated_ns` is EXT-X-PROGRAM-DATE-TIME in nanoseconds since 1970. `is_gap`: the server does not have it.
    """

    number: int
    resource: Resource
    duration_ns: int
    header: Resource | None = None
    starts_anew: bool = False
    dated_ns: int | None = None
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """The segments that a server offers, in their order. `has_ended`: no further ones will come."""

    target_ns: int
    segments: tuple[Segment, ...]
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition that a master playlist names. `lines` is the height of the picture, 0 where it is not stated.

    `has_picture` is false where the codecs are stated and none of them is that of a picture.
    `has_separate_sound`: its sound has a playlist of its own.
    """

    resource: Resource
    bandwidth: int
    lines: int
    has_picture: bool
    has_separate_sound: bool


def parse_playlist(text: str, url: str) -> MediaPlaylist | tuple[Variant, ...]:
    """Return the segments of a media playlist, or the variants of a master playlist.

    `url` is where the playlist was found. Raises SourceError, whose message quotes nothing of the playlist.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if not text.startswith("#EXTM3U"):
        raise SourceError("is not a playlist: expected #EXTM3U in its first line")
    parser = _Parser(url)
    for line in text.splitlines():
        parser.take(line.strip())
    return parser.result()


def choose_variant(variants: tuple[Variant, ...], needs_picture: bool) -> Variant:
    """Return the variant to play: the smallest picture of at least ENOUGH_LINES, else the largest.

    Without stated sizes it is the first, as for players. Without need of a picture it is that of the least bandwidth.
    """
    if not needs_picture:
        return min(variants, key=lambda variant: variant.bandwidth)
    seen = [variant for variant in variants if variant.has_picture] or list(variants)
    if not any(variant.lines for variant in seen):
        return seen[0]
    enough = [variant for variant in seen if variant.lines >= ENOUGH_LINES]
    if enough:
        return min(enough, key=lambda variant: (variant.lines, variant.bandwidth))
    return max(seen, key=lambda variant: (variant.lines, variant.bandwidth))


def resolve(base: str, reference: str) -> str:
    """Return the URL of a reference in a playlist. Raises SourceError where it is neither http nor https."""
    try:
        url = urljoin(base, reference)
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SourceError("the playlist names an invalid URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"the playlist names a URL of {parts.scheme[:20]}, expected http or https")
    return url


class _Parser:
    """Takes a playlist line by line."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._target_ns = 0
        self._first_number = 0
        self._has_ended = False
        self._segments: list[Segment] = []
        self._variants: list[Variant] = []
        self._separate_sound: set[str] = set()
        # what holds until another tag
        self._header: Resource | None = None
        self._is_encrypted = False
        self._stream: dict[str, str] | None = None
        self._begin_segment(None)

    def _begin_segment(self, dated_ns: int | None) -> None:
        self._duration_ns: int | None = None
        self._range: str | None = None
        self._starts_anew = self._is_gap = False
        self._dated_ns = dated_ns

    def take(self, line: str) -> None:
        """Take a line. Unknown tags and comments are ignored, such as the parts of low-latency HLS."""
        if not line.startswith("#"):
            if line:
                self._take_uri(line)
            return
        tag, _, value = line.partition(":")
        if tag == "#EXTINF":
            self._duration_ns = _duration_ns(tag, value.partition(",")[0])
        elif tag == "#EXT-X-TARGETDURATION":
            self._target_ns = _duration_ns(tag, value)
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            self._first_number = _number(tag, value)
        elif tag == "#EXT-X-DISCONTINUITY":
            self._starts_anew = True
        elif tag == "#EXT-X-GAP":
            self._is_gap = True
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            self._dated_ns = _date_ns(value)
        elif tag == "#EXT-X-ENDLIST":
            self._has_ended = True
        elif tag == "#EXT-X-BYTERANGE":
            self._range = value
        elif tag in ("#EXT-X-MAP", "#EXT-X-KEY", "#EXT-X-STREAM-INF", "#EXT-X-MEDIA"):
            self._take_attributes(tag, {name: content.strip('"') for name, content in ATTRIBUTE.findall(value)})

    def _take_attributes(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "#EXT-X-MAP":
            byte_range = _byte_range(tag, attributes["BYTERANGE"], 0) if "BYTERANGE" in attributes else None
            self._header = Resource(attributes.get("URI", ""), self._url, byte_range)
        elif tag == "#EXT-X-KEY":
            self._is_encrypted = attributes.get("METHOD") != "NONE"
        elif tag == "#EXT-X-STREAM-INF":
            self._stream = attributes
        elif attributes.get("TYPE") == "AUDIO" and "URI" in attributes:
            self._separate_sound.add(attributes.get("GROUP-ID", ""))

    def _take_uri(self, uri: str) -> None:
        if self._stream is not None:
            self._take_variant(uri, self._stream)
            self._stream = None
        elif self._duration_ns is not None:
            self._take_segment(uri, self._duration_ns)

    def _take_segment(self, uri: str, duration_ns: int) -> None:
        if self._is_encrypted:
            raise SourceError("its segments are encrypted, which is not supported")
        if len(self._segments) == MAX_SEGMENTS:
            raise SourceError(f"the playlist names more than {MAX_SEGMENTS} segments")
        segment = Segment(
            self._first_number + len(self._segments),
            Resource(uri, self._url, None if self._range is None else self._next_range(uri, self._range)),
            duration_ns,
            self._header,
            self._starts_anew,
            self._dated_ns,
            self._is_gap,
        )
        self._segments.append(segment)
        self._begin_segment(None if segment.dated_ns is None else segment.dated_ns + duration_ns)

    def _next_range(self, uri: str, value: str) -> tuple[int, int]:
        """Return the byte range of a segment. Without a first byte it follows the one before, of the same file."""
        previous = self._segments[-1].resource if self._segments else None
        follows = previous is not None and previous.reference == uri
        start = sum(previous.byte_range) if previous and follows and previous.byte_range else 0
        return _byte_range("#EXT-X-BYTERANGE", value, start)

    def _take_variant(self, uri: str, stream: dict[str, str]) -> None:
        if len(self._variants) == MAX_VARIANTS:
            raise SourceError(f"the playlist names more than {MAX_VARIANTS} variants")
        codecs = [name.strip() for name in stream.get("CODECS", "").split(",")]
        variant = Variant(
            resource=Resource(uri, self._url),
            bandwidth=_number_or_0(stream.get("BANDWIDTH", "")),
            lines=_number_or_0(stream.get("RESOLUTION", "").partition("x")[2]),
            has_picture=not all(codecs) or not all(name.startswith(SOUND_CODECS) for name in codecs),
            has_separate_sound=stream.get("AUDIO") in self._separate_sound,
        )
        self._variants.append(variant)

    def result(self) -> MediaPlaylist | tuple[Variant, ...]:
        """Return what was taken. The target duration is never shorter than the longest segment."""
        if self._variants:
            return tuple(self._variants)
        longest_ns = max((segment.duration_ns for segment in self._segments), default=NS_PER_S)
        return MediaPlaylist(max(self._target_ns, longest_ns), tuple(self._segments), self._has_ended)


def _number(tag: str, value: str) -> int:
    if not NUMBER.fullmatch(value.strip()):
        raise SourceError(f"the playlist has a wrong number in {tag}")
    return int(value)


def _number_or_0(value: str) -> int:
    return int(value) if NUMBER.fullmatch(value) else 0


def _duration_ns(tag: str, value: str) -> int:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_DURATION_S:  # false for a value that is not a number, too
        raise SourceError(f"the playlist has a wrong duration in {tag}: expected 0 to {MAX_DURATION_S:g} seconds")
    return round(seconds * NS_PER_S)


def _byte_range(tag: str, value: str, start: int) -> tuple[int, int]:
    """Return the first byte and the number of bytes of `<number>[@<first>]`. `start` is the default of the first."""
    count, _, first = value.partition("@")
    return (_number(tag, first) if first else start), _number(tag, count)


def _date_ns(value: str) -> int | None:
    """Return an ISO 8601 date in nanoseconds since 1970; None for another value, because dates only help to order."""
    match = DATE.fullmatch(value.strip())
    if match is None:
        return None
    try:
        seconds = round((datetime.fromisoformat(match[1]) - EPOCH).total_seconds())
    except ValueError:
        return None
    offset_s = (int(match[4]) * 60 + int(match[5])) * 60 if match[3] else 0
    fraction_ns = round(float(match[2] or 0) * NS_PER_S)
    return (seconds + (offset_s if match[3] == "-" else -offset_s)) * NS_PER_S + fraction_ns
