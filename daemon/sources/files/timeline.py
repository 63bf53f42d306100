"""One timeline for a file whose presentation times begin anew, because it was spliced or its clock was set."""

from dataclasses import dataclass

from daemon.core.timing import NS_PER_S

# A step back that is larger is a splice. Decoding times never fall within one recording.
BACK_NS = NS_PER_S

# A step ahead that is larger is a splice, in a format that may be spliced. `ffmpeg` has the same limit.
AHEAD_NS = 10 * NS_PER_S


@dataclass(slots=True)
class _Part:
    """A part between two splices: its shift onto the timeline, and the latest decoding time in it so far."""

    shift_ns: int
    reached_ns: int


class Timeline:
    """Places the packets of a file on one timeline, on which each part begins where the part before it ends.

    All streams of a part are shifted by the same time, so they stay in step. The result depends only on the packets.
    So several readers of one file agree, provided that each places all packets in the order of the file.

    `end_ns` is the end of everything that was placed.
    """

    def __init__(self, *, may_skip: bool) -> None:
        """`may_skip`: the format may be spliced, so a step ahead is a splice too."""
        self._may_skip = may_skip
        self._latest = _Part(0, 0)
        # the part that each stream has reached, and its last decoding time
        self._streams: dict[int, tuple[_Part, int | None]] = {}
        self.end_ns = 0

    def shift_ns(self, stream: int, at_ns: int | None, end_ns: int) -> int:
        """Place a packet that is decoded at `at_ns` (None: unknown) and ends at `end_ns`. Return its shift."""
        part, last_ns = self._streams.get(stream, (self._latest, None))
        if at_ns is not None:
            if abs(at_ns - self._latest.reached_ns) < abs(at_ns - part.reached_ns):
                # another stream has come to the splice before; packets of both parts may be interleaved there
                part = self._latest
            elif last_ns is not None and self._is_splice(part, last_ns, at_ns):
                part = self._latest = _Part(self.end_ns - at_ns, at_ns)
            part.reached_ns = max(part.reached_ns, at_ns)
            self._streams[stream] = (part, at_ns)
        self.end_ns = max(self.end_ns, end_ns + part.shift_ns)
        return part.shift_ns

    def _is_splice(self, part: _Part, last_ns: int, at_ns: int) -> bool:
        if at_ns < last_ns - BACK_NS:
            return True
        # other streams may have gone on while this one paused
        return self._may_skip and at_ns > part.reached_ns + AHEAD_NS


class PictureTimes:
    """Chooses between two times of each decoded picture, which come in the order in which they are to be shown.

    AVI stores no presentation times, and FFmpeg makes up wrong ones where pictures are stored in another order.
    As in FFmpeg's `guess_correct_pts`, the kind of time counts that has stepped back less often.
    """

    def __init__(self) -> None:
        self._last_ns: list[int | None] = [None, None]
        self._faults = [0, 0]
        self._interval_ns = 0

    def best_ns(self, shown_ns: int | None, decoded_ns: int | None) -> int | None:
        """Return the presentation time or the decoding time of a picture. None: it has neither."""
        last_ns = self._last_ns[1]
        if decoded_ns is None and last_ns is not None:
            decoded_ns = last_ns + self._interval_ns  # the decoder gives its last pictures without decoding time
        elif decoded_ns is not None and last_ns is not None:
            self._interval_ns = decoded_ns - last_ns
        for kind, at_ns in enumerate((shown_ns, decoded_ns)):
            last_ns = self._last_ns[kind]
            self._faults[kind] += at_ns is not None and last_ns is not None and at_ns <= last_ns
            self._last_ns[kind] = last_ns if at_ns is None else at_ns
        prefers_shown = self._faults[0] <= self._faults[1]
        return shown_ns if decoded_ns is None or (prefers_shown and shown_ns is not None) else decoded_ns
