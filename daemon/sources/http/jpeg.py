"""Finds the JPEG pictures in a stream of bytes, as MJPEG cameras send them; without I/O."""

import re

# Larger than any camera's picture: one of 50 megapixels at high quality has 15 MB.
MAX_PICTURE_BYTES = 16 * 1024 * 1024

# A picture begins with SOI and the first byte of the next marker.
START = b"\xff\xd8\xff"

# A picture that follows the header of a part. It never stands inside a segment of another picture.
PART = re.compile(rb"\r?\n\r?\n(?=\xff\xd8\xff)")
PART_BYTES = len(b"\r\n\r\n" + START)

# In compressed data 00 follows FF, but for restart markers and fill bytes.
MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA

# Markers without a segment: TEM and the restart markers.
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})

# Below are reserved markers, and 00, which is no marker.
FIRST_SEGMENT = 0xC0

# The two bytes of the marker and the two of the length.
SEGMENT_HEADER_BYTES = 4


class JpegSplitter:
    """Returns the complete pictures of a stream of bytes; what stands between them is skipped.

    Boundaries and headers of parts are not needed. Segments are skipped by their length, so a preview picture inside
    a segment does not end its picture. `corrupt` counts pictures that are cut off, damaged or too large.
    """

    def __init__(self, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        self.corrupt = 0
        self._max_bytes = max_bytes
        # begins with the picture while there is one
        self._buffer = bytearray()
        self._is_inside = False
        self._in_scan = False
        self._has_scan = False
        # everything before is parsed
        self._position = 0
        # up to here the segment at `_position` contains no other picture
        self._searched = 0

    @property
    def buffered_bytes(self) -> int:
        """Return how much is stored of a picture that is not complete."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes. Return the pictures that they complete."""
        self._buffer += chunk
        pictures: list[bytes] = []
        while self._step(pictures):
            pass
        if len(self._buffer) > self._max_bytes:
            self._abandon(len(self._buffer))
        return pictures

    def end(self) -> None:
        """Note that the stream has ended: a picture that is not complete counts as corrupt."""
        if self._is_inside:
            self._abandon(len(self._buffer))

    def _step(self, pictures: list[bytes]) -> bool:
        """Parse one marker. Return whether there may be another one in the buffer."""
        if not self._is_inside:
            return self._find_start()
        if self._in_scan:
            return self._find_marker()
        return self._pass_marker(pictures)

    def _find_start(self) -> bool:
        start = self._buffer.find(START)
        self._is_inside = start >= 0
        self._in_scan = self._has_scan = False
        self._position = 2
        self._searched = 0
        # the last two bytes may begin a picture
        del self._buffer[: start if self._is_inside else max(0, len(self._buffer) - 2)]
        return self._is_inside

    def _find_marker(self) -> bool:
        """Look for the marker that ends the compressed data."""
        found = MARKER_IN_SCAN.search(self._buffer, self._position)
        if found is None:
            self._position = max(self._position, len(self._buffer) - 1)
            return False
        self._position = found.start()
        self._in_scan = False
        return True

    def _pass_marker(self, pictures: list[bytes]) -> bool:
        buffer, at = self._buffer, self._position
        if len(buffer) < at + 2:
            return False
        marker = buffer[at + 1]
        if buffer[at] != 0xFF or (marker < FIRST_SEGMENT and marker not in ALONE) or marker == SOI:
            self._abandon(at)
        elif marker == EOI:
            self._complete(at + 2, pictures)
        elif marker == 0xFF:  # a fill byte
            self._position += 1
        elif marker in ALONE:
            self._position += 2
        else:
            return self._pass_segment(marker)
        return True

    def _pass_segment(self, marker: int) -> bool:
        buffer, at = self._buffer, self._position
        if len(buffer) < at + SEGMENT_HEADER_BYTES:
            return False
        length = int.from_bytes(buffer[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2:
            self._abandon(at + 2)
            return True
        # A picture that was cut off may announce a segment that reaches over the next pictures. So the whole segment is
        # not waited for. The two bytes after it belong to the picture too.
        begin = max(at + SEGMENT_HEADER_BYTES, self._searched - PART_BYTES)
        if part := PART.search(buffer, begin, end + 2):
            self._abandon(part.end())
            return True
        self._searched = min(len(buffer), end + 2)
        if len(buffer) < end + 2:
            return False
        self._position = end
        self._in_scan = marker == SOS
        self._has_scan |= self._in_scan
        return True

    def _complete(self, end: int, pictures: list[bytes]) -> None:
        if not self._has_scan:
            self._abandon(end)
            return
        pictures.append(bytes(self._buffer[:end]))
        del self._buffer[:end]
        self._is_inside = False

    def _abandon(self, end: int) -> None:
        """Give up the picture, and everything before `end`."""
        self.corrupt += 1
        del self._buffer[:end]
        self._is_inside = False
