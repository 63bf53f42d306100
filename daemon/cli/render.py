"""Renders a received message as a line for a person."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

from daemon.cli.models_text import active_text, candidate_text, result_text
from daemon.core.records import Modality
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S
from daemon.mqtt.health_report import MAX_REASON, HealthReport, closed, faults, remarks
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload, parse_time
from daemon.mqtt.status_payload import StatusPayload
from daemon.mqtt.subscriber import Malformed, Received
from daemon.mqtt.teaching_payloads import TeachingPayload
from daemon.mqtt.update_payloads import ModelsPayload

# takes an ANSI colour and a text
Paint = Callable[[str, str], str]

ShownT = TypeVar("ShownT")

BAR_CELLS = 8
EIGHTHS = " ▏▎▍▌▋▊▉"

# an embedding of this age or more is shown with its age
OLD_MS = 250.0

# names of nodes come from outside, so their number is bounded
MAX_NODES = 1000

# a smaller share of an event would be shown as 0 %
MIN_SHARE = 0.005

# a score above it is shown beside the best one
CLEAR_SCORE = 0.5

# of the labels beside the best one
MAX_OTHERS = 8

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


class Narrator:
    """Renders messages that have news.

    Health is rendered when it has changed, and the status not at all: health says the same. A state is rendered only if
    it is retained, because events show its later changes. Of an installation each stage and the result are rendered.
    Of teaching each new text and each question are rendered, once something has been taught. When labels come into
    use, they are named.
    """

    def __init__(self, *, colour: bool, with_node: bool) -> None:
        self._colour = colour
        self._with_node = with_node
        self._health: dict[str, str] = {}
        self._models: dict[str, ModelsPayload] = {}
        self._teaching: dict[str, TeachingPayload] = {}

    def render_news(self, received: Received) -> str | None:
        """Return the line for a message, or None when it has no news."""
        content = received.content
        if isinstance(content, StatusPayload) or (isinstance(content, StatePayload) and not received.retained):
            return None
        if isinstance(content, HealthReport):
            text = _health(content, _plain)
            if self._health.get(received.node) == text:
                return None
            _remember(self._health, received.node, text)
        if isinstance(content, TeachingPayload):
            return self._teaching_news(received, content)
        if isinstance(content, ModelsPayload):
            before = self._models.get(received.node)
            _remember(self._models, received.node, content)
            if before is not None:
                return self._models_news(received, before, content)
        return render(received, colour=self._colour, with_node=self._with_node)

    def _teaching_news(self, received: Received, now: TeachingPayload) -> str | None:
        if not now.labels:
            return None
        before = self._teaching.get(received.node)
        _remember(self._teaching, received.node, now)
        in_use = [] if before is None else _in_use(before, now)
        if before is not None and not in_use and _teaching(before) == _teaching(now):
            return None
        text = _teaching(now.model_copy(update={"text": f"in use now: {'; '.join(in_use)}"}) if in_use else now)
        return _line(received, text, _coloured if self._colour else _plain, self._with_node)

    def _models_news(self, received: Received, before: ModelsPayload, now: ModelsPayload) -> str | None:
        paint = _coloured if self._colour else _plain
        news = _news(before, now, paint)
        return _line(received, "; ".join(news), paint, self._with_node) if news else None


def _remember(memory: dict[str, ShownT], node: str, shown: ShownT) -> None:
    if len(memory) >= MAX_NODES:
        memory.clear()
    memory[node] = shown


def render(received: Received, *, colour: bool, with_node: bool) -> str:
    """Return one line with local time, stream and content. Without `colour` every character is printable.

    Text from the broker is cut at 80 characters, and its control characters are replaced.
    """
    paint = _coloured if colour else _plain
    content = received.content
    if isinstance(content, Malformed):
        text = paint(RED, f"malformed {received.kind}: {clean(content.reason)}")
    elif isinstance(content, RecognitionPayload):
        text = _recognition(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, EventPayload):
        text = _event(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, StatePayload):
        text = _state(content, paint)
    elif isinstance(content, StatusPayload):
        text = f"is {content.status}" + (f": {clean(content.reason, MAX_REASON)}" if content.reason else "")
    elif isinstance(content, HealthReport):
        text = _health(content, paint)
    elif isinstance(content, ModelsPayload):
        text = active_text(content) if content.candidate is None else candidate_text(content.candidate)
    elif isinstance(content, TeachingPayload):
        text = _teaching(content)
    else:
        text = paint(GREEN if content == "online" else RED, f"is {content}")
    return _line(received, text, paint, with_node)


def _line(received: Received, text: str, paint: Paint, with_node: bool) -> str:
    return f"{paint(DIM, _local_time(_instant(received)))}  {_where(received, with_node)}  {text}"


def _where(received: Received, with_node: bool) -> str:
    if received.stream is None:
        return f"node {clean(received.node)}"
    return clean(f"{received.node}/{received.stream}" if with_node else received.stream)


def _instant(received: Received) -> datetime:
    """Return when it happened, or else when the message came."""
    if isinstance(received.content, (RecognitionPayload, EventPayload)):
        return parse_time(received.content.time)
    return datetime.fromtimestamp(received.received_ns // NS_PER_S, timezone.utc).replace(
        microsecond=received.received_ns % NS_PER_S // 1000
    )


def _local_time(instant: datetime) -> str:
    return instant.astimezone().strftime("%H:%M:%S.") + f"{instant.microsecond // 1000:03d}"


def _recognition(content: RecognitionPayload, paint: Paint) -> str:
    shares = [_share(content, modality) for modality in content.modalities]
    # only labels that do not exclude each other can score high together
    others = [f"{clean(part.label)} {part.score:.2f}" for part in content.labels[1:] if part.score > CLEAR_SCORE]
    also = f"  also {', '.join(others[:MAX_OTHERS])}" if others else ""
    return f"{paint(BOLD, clean(content.label))}  {_scored(content.score, paint)}  {'  '.join(shares)}{also}"


def _share(content: RecognitionPayload, modality: Modality) -> str:
    part = content.modalities[modality]
    age_ms = max(part.age_ms, part.late_ms or 0.0)
    old = f" ({age_ms / 1000:.1f} s old)" if age_ms >= OLD_MS else ""
    best = content.labels[0]
    alike = [name for name, encoder in (content.encoders or {}).items() if encoder.modality == modality]
    each = ", ".join(f"{clean(name)} {(best.encoders or {}).get(name, 0.0):+.1f}" for name in alike)
    beneath = f" ({each})" if len(alike) > 1 else ""
    return f"{modality} {best.shares.get(modality, 0.0):+.1f}{beneath}{old}"


def _event(content: EventPayload, paint: Paint) -> str:
    label = paint(BOLD, clean(content.label))
    parts = [(modality, share) for modality, share in content.shares.items() if share >= MIN_SHARE]
    shares = "".join(f"  {modality} {100 * share:.0f} %" for modality, share in parts)
    if content.phase == "start":
        return f"{paint(CYAN, '▶')} {label} started  {content.score:.2f}{shares}"
    if content.phase == "update":
        return f"{paint(CYAN, '·')} {label} goes on for {content.duration_s:.1f} s  {content.score:.2f}{shares}"
    why = f" ({content.ended_by})" if content.ended_by else ""
    return f"{paint(CYAN, '■')} {label} ended after {content.duration_s:.1f} s{why}  peak {content.peak:.2f}{shares}"


def _state(content: StatePayload, paint: Paint) -> str:
    since = _local_time(parse_time(content.since))
    if content.label is None:
        return f"nothing since {since}"
    others = [clean(label) for label in content.open if label != content.label]
    also = f"; also open: {', '.join(others[:MAX_OTHERS])}" if others else ""
    return f"{paint(BOLD, clean(content.label))} since {since}{also}"


def _health(content: HealthReport, paint: Paint) -> str:
    return "; ".join([_status(content, paint), *remarks(content)])


def _status(content: HealthReport, paint: Paint) -> str:
    if content.status == "ok":
        is_paused = content.streams and all(stream.paused for stream in content.streams.values())
        return "; ".join([f"is {paint(YELLOW, 'paused') if is_paused else paint(GREEN, 'well')}", *closed(content)])
    if content.status == "stopped":
        return "has stopped"
    trouble = [*faults(content), *closed(content)]
    verb = "has" if content.status == "failed" else "is"
    return f"{verb} {paint(RED, clean(content.status))}" + (f": {'; '.join(trouble)}" if trouble else "")


def _news(before: ModelsPayload, now: ModelsPayload, paint: Paint) -> list[str]:
    """Return what has changed: the result of an installation, its stage, and the active bundle."""
    news = []
    if now.last_result is not None and now.last_result != before.last_result:
        news.append(paint(GREEN if now.last_result.ok else RED, result_text(now.last_result)))
    if now.candidate is not None and _step(now) != _step(before):
        news.append(candidate_text(now.candidate))
    is_on_probation = now.candidate is not None and (now.candidate.id, now.candidate.stage) == (
        now.active.id,
        "probation",
    )
    if now.active.id != before.active.id and not is_on_probation:
        news.append(active_text(now))
    return news


def _step(models: ModelsPayload) -> tuple[str, str] | None:
    return None if models.candidate is None else (models.candidate.id, models.candidate.stage)


def _teaching(content: TeachingPayload) -> str:
    question = content.question
    return f"teaching: {clean(content.text, MAX_REASON)}" + (
        f"; it asks: {clean(question.text, MAX_REASON)}" if question else ""
    )


def _in_use(before: TeachingPayload, now: TeachingPayload) -> list[str]:
    """Return the labels that are recognised now and were not before, or that a new fit recognises."""
    ready = {part.label for part in before.labels if part.state == "ready"}
    return [f"{each.label} ({each.text})" for each in now.labels if each.state == "ready" and each.label not in ready]


def _scored(score: float, paint: Paint) -> str:
    """Return the score as a number and a bar."""
    eighths = round(score * BAR_CELLS * 8)
    bar = ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).ljust(BAR_CELLS)[:BAR_CELLS]
    return f"{score:.2f} {paint(GREEN if score >= 0.5 else YELLOW, bar)}"


def _latency(received: Received) -> str:
    return "" if received.latency_ms is None else f"  {received.latency_ms:.0f} ms"


def _plain(_colour: str, text: str) -> str:
    return text


def _coloured(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if text else ""
