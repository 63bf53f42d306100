"""Judges by its counters how much of one sense is used. Reads no clock."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from daemon.core.records import Counters, Modality
from daemon.core.timing import NS_PER_S
from daemon.runtime.liveness import Complaint

# A sense is not used when more than this share of it is dropped. It is used again when less than the other share is.
UNUSED = 0.5
USED = 0.4

# A file is played too slowly when its schedule is put off by more than the first share of the time.
SLOW = 0.1
QUICK = 0.05

# Fewer dropped inputs prove nothing.
MIN_DROPPED = 3

# A complaint that comes back within this time stays twice as long, up to this time. So a load that comes and goes is
# told a few times an hour.
COMES_BACK_NS = 60 * NS_PER_S

# Looks come several times in this time. After a longer pause the program was suspended.
MAX_LOOK_GAP_NS = NS_PER_S

# Reasons for which an input is dropped before it is counted as captured, and after it. The others are intended (a
# closed gate, a pause), or concern text.
BEFORE_CAPTURE = ("no_time", "out_of_order", "corrupt", "overflow", "behind")
AFTER_CAPTURE = ("busy", "late", "wrong_rate", "encoder_failed", "fusion_failed")

OVERLOADED = "{come} too late to be used: the machine is overloaded; {advice}"

# The text for each reason. The forms of the verbs depend on the modality.
REASONS: Mapping[str, str] = {
    "busy": OVERLOADED,
    "late": "{come} too late to be used, although the encoder is quick: "
    "the source gives wrong times, or its network is slow",
    "behind": "{come} too late to be used: the machine is overloaded; {camera}",
    "no_time": "{have} no time and cannot be used: change the encoding in the camera's settings, or convert the file",
    "out_of_order": "{have} a time before that of an earlier one and cannot be used: convert the file",
    "corrupt": "{are} damaged and cannot be used: a cable, a network or a file loses data",
    "overflow": "{are} lost between the device and the daemon: the machine is overloaded; {advice}",
    "wrong_rate": "{have} another sample rate than the bundle wants",
    "encoder_failed": "cannot be encoded: the log has the error",
    "fusion_failed": "cannot be fused: the log has the error",
}

CAMERA = "lower the frame rate or the size of the pictures in the camera's own settings"
PICTURES = {"subject": "the pictures", "come": "come", "have": "have", "are": "are"}
SOUND = {"subject": "the sound", "come": "comes", "have": "has", "are": "is"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters at one instant. `encoders` has those of each encoder, where several use the sense."""

    at_ns: int
    captured: int = 0
    encoded: int = 0
    put_off_ns: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    encoders: "Mapping[str, Snapshot]" = field(default_factory=dict)

    def of(self, encoder: str | None) -> "Snapshot":
        """Return the counters of an encoder, which may not have counted yet; of None those of the sense."""
        return self if encoder is None else self.encoders.get(encoder, Snapshot(self.at_ns))


@dataclass(frozen=True, slots=True)
class Use:
    """What became of one sense in a time: the share that was dropped, the main reason, and the rate that was used.

    `put_off` is the share of the time by which a file's schedule was put off. `encoder` is one of several that use the
    sense, or None.
    """

    dropped: float
    count: int
    reason: str | None
    used_hz: float
    put_off: float
    encoder: str | None = None


def _snapshot(counters: Counters, at_ns: int) -> Snapshot:
    return Snapshot(
        at_ns,
        counters.captured,
        counters.encoded,
        counters.put_off_ns,
        counters.dropped.copy(),
        counters.left_out,
        {name: _snapshot(each, at_ns) for name, each in counters.encoders.copy().items()},
    )


def use_between(before: Snapshot, after: Snapshot, encoder: str | None = None) -> Use:
    """Return what became of a sense between two snapshots. Sound is captured in blocks and encoded in patches.

    What is dropped before it is captured is dropped before `fps` applies. So it is compared with all pictures. What is
    dropped later is compared with what was prepared for the encoder. So what its `rate_hz` leaves out does not matter.
    With several encoders the result is that of one of them.
    """
    earlier, later = before.of(encoder), after.of(encoder)
    counts = {reason: after.dropped.get(reason, 0) - before.dropped.get(reason, 0) for reason in BEFORE_CAPTURE}
    counts |= {reason: later.dropped.get(reason, 0) - earlier.dropped.get(reason, 0) for reason in AFTER_CAPTURE}
    duration_ns = max(1, after.at_ns - before.at_ns)
    lost, unused = (sum(counts[reason] for reason in reasons) for reasons in (BEFORE_CAPTURE, AFTER_CAPTURE))
    encoded = later.encoded - earlier.encoded
    # what `fps` leaves out has come, so it counts beside what was lost on the way
    offered = after.captured - before.captured + lost + after.left_out - before.left_out
    prepared = max(encoded + counts["busy"] + counts["encoder_failed"], unused)
    shares = {reason: counts[reason] / max(1, offered) for reason in BEFORE_CAPTURE}
    shares |= {reason: counts[reason] / max(1, prepared) for reason in AFTER_CAPTURE}
    used = (1 - lost / max(1, offered)) * (1 - unused / max(1, prepared))
    put_off_ns = after.put_off_ns - before.put_off_ns
    return Use(
        dropped=1 - used,
        count=lost + unused,
        reason=max(shares, key=shares.__getitem__) if lost + unused else None,
        used_hz=max(0, encoded - counts["late"] - counts["fusion_failed"]) * NS_PER_S / duration_ns,
        put_off=min(1.0, put_off_ns / duration_ns),
        encoder=encoder,
    )


class UsageJudge:
    """Judges one sense of one source. Used by one thread, which looks several times a second.

    A complaint begins when more than half has been dropped for `window_ns`. It stays until less is dropped for as long,
    or for longer when it comes back.
    Its share is that of its first window, so that its text does not change with every look.
    Where several encoders use the sense, each is judged, and the complaint is about the worst.
    """

    def __init__(self, modality: Modality, window_ns: int, *, has_fps: bool = False) -> None:
        """`has_fps`: the setting `camera.fps` applies to this sense."""
        self._modality = modality
        self._window_ns = window_ns
        self._has_fps = has_fps
        # where the judged time begins, and the latest look
        self._before: Snapshot | None = None
        self._last: Snapshot | None = None
        self._longest_pause_ns = 0
        self._looks = self._short_looks = 0
        # how long it must be used well until the complaint ends, since when it is, and when the latest one ended
        self._stays_ns = window_ns
        self._used_since_ns: int | None = None
        self._ended_ns: int | None = None
        self._reason: str | None = None
        self._encoder: str | None = None
        self._complaint: Complaint | None = None

    def look(self, counters: Counters, now_ns: int, is_short: Callable[[], bool]) -> Complaint | None:
        """Return the complaint about the use of this sense, or None.

        `is_short` returns whether the daemon lacks processor time now. It is called only if it matters.
        """
        last, now = self._last, _snapshot(counters, now_ns)
        self._last = now
        if self._before is None or last is None or now_ns - last.at_ns > MAX_LOOK_GAP_NS:
            self._begin(now)
            return self._complaint
        use = self._use(self._before, now)
        self._looks += 1
        self._short_looks += use.reason in ("late", "behind") and is_short()
        self._longest_pause_ns = max(self._longest_pause_ns, now.put_off_ns - last.put_off_ns)
        judged_ns = now_ns - self._before.at_ns
        is_complete = judged_ns >= self._window_ns
        # a single pause, as of a slow disk, shows no overload
        is_slow = now.put_off_ns - self._before.put_off_ns - self._longest_pause_ns > SLOW * judged_ns
        is_bad = use.dropped > UNUSED or is_slow
        if self._complaint is None:
            if is_bad and is_complete and (use.count >= MIN_DROPPED or is_slow):
                self._set_stay(now_ns)
                self._complain(use)
            # a pause may be the first of many, so the time in which it is judged goes on
            if self._complaint is not None or not (is_bad or use.put_off > SLOW):
                self._begin(now)
        elif is_complete:
            if use.dropped < USED and use.put_off < QUICK:
                self._note_used(self._before.at_ns, now_ns)
            else:
                self._used_since_ns = None
            if is_bad and (use.encoder != self._encoder or self._is_news(self._reported_reason(use), use.dropped)):
                self._complain(use)
            self._begin(now)
        return self._complaint

    def _use(self, before: Snapshot, now: Snapshot) -> Use:
        """Return the use by the encoder that the complaint is about, while that is bad; else by the worst one."""
        uses = {encoder: use_between(before, now, encoder) for encoder in (None, *now.encoders)}
        if self._complaint is not None and uses[self._encoder].dropped > USED:
            return uses[self._encoder]
        return max(uses.values(), key=attrgetter("dropped", "used_hz"))

    def _set_stay(self, now_ns: int) -> None:
        """Decide how long the complaint that begins now stays."""
        if self._ended_ns is not None and now_ns - self._ended_ns < COMES_BACK_NS:
            self._stays_ns = max(self._window_ns, min(2 * self._stays_ns, COMES_BACK_NS))
        else:
            self._stays_ns = self._window_ns

    def _note_used(self, since_ns: int, now_ns: int) -> None:
        """Note that the sense was used well since then, and end the complaint once that lasts long enough."""
        self._used_since_ns = since_ns if self._used_since_ns is None else self._used_since_ns
        if now_ns - self._used_since_ns >= self._stays_ns:
            self._complaint = self._reason = self._used_since_ns = None
            self._ended_ns = now_ns

    def _begin(self, now: Snapshot) -> None:
        self._before = now
        self._looks = self._short_looks = self._longest_pause_ns = 0

    def _reported_reason(self, use: Use) -> str | None:
        """Return the reason to report, which does not change to and fro. None: a file is played too slowly.

        What is `late` or `behind` shows overload only where the daemon lacks processor time.
        """
        if use.dropped <= UNUSED:
            return None
        if use.reason not in ("busy", "late", "behind"):
            return use.reason
        # a look at an overloaded machine may find no thread that waits
        least = 0.1 if self._reason in ("busy", "behind") else 0.5
        if use.reason != "busy" and self._short_looks <= least * self._looks:
            return "late"
        return "behind" if "behind" in (use.reason, self._reason) else "busy"

    def _is_news(self, reason: str | None, dropped: float) -> bool:
        """Return whether another reason is to be reported."""
        # an overloaded machine plays a file slowly or drops pictures, whichever comes first
        is_settled = dropped > UNUSED or dropped < USED
        return reason != self._reason and is_settled and not {reason, self._reason} <= {None, "busy"}

    def _complain(self, use: Use) -> None:
        self._reason, self._encoder = self._reported_reason(use), use.encoder
        if self._reason is None:
            pace = round(100 * (1 - use.put_off))
            text = f"the file is played at {pace} % of its pace: the machine is overloaded; {self._advice(0)}"
            self._complaint = Complaint(text, reopens=False)
            return
        words = PICTURES if self._modality == "image" else SOUND
        words = words | {"advice": self._advice(use.used_hz), "camera": CAMERA}
        text = REASONS[self._reason].format(**words)
        # what is lost before it is captured is lost for every encoder
        whose = f" for the encoder {use.encoder}" if use.encoder and self._reason in AFTER_CAPTURE else ""
        self._complaint = Complaint(f"{round(100 * use.dropped)} % of {words['subject']}{whose} {text}", reopens=False)

    def _advice(self, used_hz: float) -> str:
        gate = "motion" if self._modality == "image" else "sound"
        other = f"use gates.{gate}, an accelerator or a smaller model"
        if not self._has_fps or used_hz == 0:
            return other
        fps = f"{math.floor(used_hz)}" if used_hz >= 1 else f"{used_hz:.1g}"
        return f"set camera.fps to {fps} or less, or {other}"
