"""A received message as the line that a person reads."""

from collections.abc import Callable
from datetime import datetime, timezone

from daemon.clock import NS_PER_S
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload, parse_time
from daemon.mqtt.received import HealthReport, Malformed, Received
from daemon.records import Modality

Paint = Callable[[str, str], str]
"""Takes an ANSI colour and a text."""

BAR_CELLS = 8
EIGHTHS = " ▏▎▍▌▋▊▉"
OLD_MS = 250.0
"""Above this, the age of a modality is shown."""

IN_TROUBLE = ("recovering", "degraded", "stalled", "backing_off")
"""States of a source that say why a node is not well."""

MAX_SHOWN = 80
MAX_TROUBLES = 8
MAX_NODES = 1000
"""Nodes whose health is remembered; names come from outside."""

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


class Narrator:
    """Tells what is new: health when it changed, the state as it was found at first (events tell the rest)."""

    def __init__(self, *, colour: bool, with_node: bool) -> None:
        self._colour = colour
        self._with_node = with_node
        self._health: dict[str, str] = {}

    def tell(self, received: Received) -> str | None:
        """The line for a message, or None when it is nothing new."""
        content = received.content
        if isinstance(content, StatePayload) and not received.retained:
            return None
        if isinstance(content, HealthReport):
            said = _health(content, _plain)
            if self._health.get(received.node) == said:
                return None
            if len(self._health) >= MAX_NODES:
                self._health.clear()
            self._health[received.node] = said
        return render(received, colour=self._colour, with_node=self._with_node)


def render(received: Received, *, colour: bool, with_node: bool) -> str:
    """One line: local time, stream, and what happened. Without `colour` every character of it is printable.

    Whatever came from the broker is cut at 80 characters, and what a terminal might obey is replaced.
    """
    paint = _coloured if colour else _plain
    content = received.content
    if isinstance(content, Malformed):
        said = paint(RED, f"malformed {received.kind}: {_clean(content.reason)}")
    elif isinstance(content, RecognitionPayload):
        said = _recognition(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, EventPayload):
        said = _event(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, StatePayload):
        said = _state(content, paint)
    elif isinstance(content, HealthReport):
        said = _health(content, paint)
    else:
        said = paint(GREEN if content == "online" else RED, f"is {content}")
    return f"{paint(DIM, _local_time(_instant(received)))}  {_where(received, with_node)}  {said}"


def _where(received: Received, with_node: bool) -> str:
    if received.stream is None:
        return f"node {_clean(received.node)}"
    return _clean(f"{received.node}/{received.stream}" if with_node else received.stream)


def _instant(received: Received) -> datetime:
    """When it happened, or else when it came."""
    if isinstance(received.content, (RecognitionPayload, EventPayload)):
        return parse_time(received.content.time)
    return datetime.fromtimestamp(received.received_ns // NS_PER_S, timezone.utc).replace(
        microsecond=received.received_ns % NS_PER_S // 1000
    )


def _local_time(instant: datetime) -> str:
    return instant.astimezone().strftime("%H:%M:%S.") + f"{instant.microsecond // 1000:03d}"


def _recognition(content: RecognitionPayload, paint: Paint) -> str:
    shares = [_share(content, modality) for modality in content.modalities]
    return f"{paint(BOLD, _clean(content.label))}  {_scored(content.score, paint)}  {'  '.join(shares)}"


def _share(content: RecognitionPayload, modality: Modality) -> str:
    age_ms = content.modalities[modality].age_ms
    old = f" ({age_ms / 1000:.1f} s old)" if age_ms >= OLD_MS else ""
    return f"{modality} {content.labels[0].shares.get(modality, 0.0):+.1f}{old}"


def _event(content: EventPayload, paint: Paint) -> str:
    label = paint(BOLD, _clean(content.label))
    if content.phase == "start":
        return f"{paint(CYAN, '▶')} {label} started  {content.score:.2f}"
    if content.phase == "update":
        return f"{paint(CYAN, '·')} {label} goes on for {content.duration_s:.1f} s  {content.score:.2f}"
    why = f" ({content.ended_by})" if content.ended_by else ""
    return f"{paint(CYAN, '■')} {label} ended after {content.duration_s:.1f} s{why}"


def _state(content: StatePayload, paint: Paint) -> str:
    since = _local_time(parse_time(content.since))
    if content.label is None:
        return f"nothing since {since}"
    return f"{paint(BOLD, _clean(content.label))} since {since}"


def _health(content: HealthReport, paint: Paint) -> str:
    if content.status == "ok":
        return f"is {paint(GREEN, 'well')}"
    if content.status == "stopped":
        return "has stopped"
    trouble = [
        f"{_clean(stream)}/{_clean(name)} is {_clean(source.state).replace('_', ' ')}"
        + (f": {_clean(source.reason)}" if source.reason else "")
        for stream, report in content.streams.items()
        for name, source in report.sources.items()
        if source.state in IN_TROUBLE
    ]
    return f"is {paint(RED, _clean(content.status))}" + (f": {'; '.join(trouble[:MAX_TROUBLES])}" if trouble else "")


def _scored(score: float, paint: Paint) -> str:
    """The score as a number and a bar."""
    eighths = round(score * BAR_CELLS * 8)
    bar = ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).ljust(BAR_CELLS)[:BAR_CELLS]
    return f"{score:.2f} {paint(GREEN if score >= 0.5 else YELLOW, bar)}"


def _latency(received: Received) -> str:
    return "" if received.latency_ms is None else f"  {received.latency_ms:.0f} ms"


def _clean(text: str) -> str:
    """Control characters, line ends and direction marks replaced, and not too long."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:MAX_SHOWN])
    return shown + ("…" if len(text) > MAX_SHOWN else "")


def _plain(_colour: str, text: str) -> str:
    return text


def _coloured(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if text else ""
