"""Presses: somebody says what is happening or has just happened. Each waits for its last second, and then is stored."""

import time
import uuid
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from daemon.config.teaching import TeachingConfig
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.mqtt.commands import InvalidCommand, Request, TeachArguments
from daemon.node.teaching_commands import Done
from daemon.node.teaching_input import Lateness, Shown, TaughtOnto
from daemon.pipeline.showing import Showing
from daemon.teaching.pictures import picture_bytes
from daemon.teaching.quality import judged
from daemon.teaching.records import Example, Origin, StoredMoment
from daemon.teaching.sounds import sound_bytes

# how many presses wait for their last second
MAX_WAITING = 8

FULL = f"busy: {MAX_WAITING} presses wait already; send it again later"

# The latest presses that became examples. The input of older ones is gone, so no press can show it again.
MAX_STORED = 16

# A press shows the same as an example whose interval has more than this part of its own.
LEAST_OVERLAP = 0.5

# an example lasts until this long after what it shows
AFTER_NS = NS_PER_S

# Sources deliver what they have captured a little later, and how much later varies.
# What is later than the longest delay has been held up, and is not waited for.
LATE_NS = 300 * NS_PER_MS
LONGEST_LATE_NS = 6 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Press:
    """One press, and the interval that it shows, which is there at `due_ns`. `taken_s` is its wall time."""

    request: Request
    label: str
    stream: str
    origin: Origin
    everywhere: bool
    start_ns: int
    end_ns: int
    due_ns: int
    taken_s: float


class Presses:
    """The presses that wait for what they show. Used by the thread `teaching`."""

    def __init__(self) -> None:
        self._waiting: list[Press] = []
        self._stored: deque[tuple[Press, str]] = deque(maxlen=MAX_STORED)

    def add(
        self,
        request: Request,
        arguments: TeachArguments,
        label: str,
        stream: str,
        pressed_ns: int,
        lateness: Lateness,
    ) -> Press:
        """Take a press at this instant, and return it. Raises InvalidCommand when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            raise InvalidCommand(FULL)
        happened_ns = pressed_ns + lateness.moved_ns - round(arguments.ago_s * NS_PER_S)
        end_ns = happened_ns + AFTER_NS
        start_ns = end_ns - round(arguments.seconds * NS_PER_S)
        due_ns = end_ns + LATE_NS + min(lateness.late_ns, LONGEST_LATE_NS)
        origin: Origin = "missed" if request.name == "teach_missed" else "press"
        taken_s = time.time() - arguments.ago_s
        press = Press(request, label, stream, origin, arguments.everywhere, start_ns, end_ns, due_ns, taken_s)
        self._waiting.append(press)
        return press

    def due(self, now_ns: int) -> list[Press]:
        """Return the presses whose last second is over; they wait no longer."""
        due = [press for press in self._waiting if press.due_ns <= now_ns]
        self._waiting = [press for press in self._waiting if press not in due]
        return due

    def note_stored(self, press: Press, example: str) -> None:
        """Note which example a press has become."""
        self._stored.append((press, example))

    def overlaps(self, press: Press, examples: Collection[str]) -> bool:
        """Return whether one of the label's examples that are there shows most of what a press shows."""
        for other, example in self._stored:
            if (other.label, other.stream) == (press.label, press.stream) and example in examples:
                common_ns = min(press.end_ns, other.end_ns) - max(press.start_ns, other.start_ns)
                if common_ns > LEAST_OVERLAP * (press.end_ns - press.start_ns):
                    return True
        return False

    def give_up(self) -> list[Press]:
        """Return all presses that wait; they wait no longer."""
        waiting, self._waiting = self._waiting, []
        return waiting


@dataclass(frozen=True, slots=True)
class Taken:
    """The example that a press gave, and what was seen and heard in it. `left_out` says what was not used, and why."""

    example: Example
    senses: frozenset[Modality]
    left_out: Sequence[str]

    @property
    def done(self) -> Done:
        """The remark and the result of the answer."""
        result = {
            "example": self.example.id,
            "label": self.example.label,
            "moments": len(self.example.moments),
            "senses": sorted(self.senses),
            "left_out": list(self.left_out),
        }
        return "; ".join(self.left_out) or None, result


def taken_from(
    press: Press,
    shown: Shown,
    bundle: TaughtOnto,
    config: TeachingConfig,
    others: Iterable[Sequence[StoredMoment]],
    *,
    overlaps: bool = False,
) -> Taken:
    """Return the example that a press gives. Raises InvalidCommand when nothing of it can be used.

    `others` are the moments of the examples of the same label. `overlaps`: one of them shows most of this press.
    """
    showing = shown.showing
    found = judged(
        showing.frames,
        showing.sound,
        showing.moments,
        bundle.modalities,
        others,
        scores=bundle.score_encoders,
        overlaps=overlaps,
    )
    if found.refusal is not None:
        raise InvalidCommand(found.refusal)
    example = Example(
        id=uuid.uuid4().hex,
        label=press.label,
        stream=press.stream,
        taken_s=press.taken_s,
        origin=press.origin,
        encoders=shown.encoders,
        moments=found.moments,
        picture=_picture(showing) if config.pictures and "image" in found.senses else None,
        sound=_sound(showing) if config.sounds and "audio" in found.senses else None,
    )
    return Taken(example, found.senses, found.left_out)


def _picture(showing: Showing) -> bytes | None:
    return None if showing.picture is None else picture_bytes(showing.picture)


def _sound(showing: Showing) -> bytes | None:
    if showing.sound is None or showing.rate_hz is None:
        return None
    return sound_bytes(showing.sound, showing.rate_hz)
