"""A received message as the line that a person reads."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

from daemon.core.records import Modality
from daemon.core.text import MAX_SHOWN, clean
from daemon.core.timing import NS_PER_S
from daemon.mqtt.payloads import EventPayload, RecognitionPayload, StatePayload, parse_time
from daemon.mqtt.subscriber import HealthReport, Malformed, Received
from daemon.mqtt.update_payloads import MAX_REASON, BundlePart, CandidatePart, ModelsPayload, ResultPart

NO_SOURCE = "none: models.source in config.yaml is not set, and the config's own bundle runs, always"


def stage_text(candidate: CandidatePart) -> str:
    """Where it is: `digits@0.5.0: download`."""
    return f"{clean(candidate.id)}: {candidate.stage}"


def progress_text(candidate: CandidatePart) -> str:
    """How far it is: `digits@0.5.0: download 42 %`."""
    if candidate.stage != "download" or candidate.bytes_total == 0:
        return stage_text(candidate)
    return f"{stage_text(candidate)} {min(100, candidate.bytes_done * 100 // candidate.bytes_total)} %"


def result_text(result: ResultPart, longest: int = MAX_SHOWN) -> str:
    """What became of it: that it was installed, or where it was given up, and why, in at most so many characters."""
    why = f": {clean(result.reason, longest)}" if result.reason else ""
    if result.ok:
        return f"has installed {clean(result.bundle)}{why}"
    return f"has given up {clean(result.bundle)} in {result.stage}{why}"


def active_text(payload: ModelsPayload) -> str:
    """Which bundle runs, and whether there is a newer one."""
    newer = "" if payload.latest == payload.active.version else f"; the latest is {clean(payload.latest)}"
    return f"runs {clean(payload.active.id)}{newer}"


def listing(payload: ModelsPayload) -> list[str]:
    """All of it, a line each."""
    rows = [("active", _bundle(payload.active))]
    if payload.previous is not None:
        rows.append(("previous", _bundle(payload.previous)))
    if payload.candidate is not None:
        since = f"since {_when(payload.candidate.since)}"
        if payload.candidate.stage == "probation":
            rows.append(("probation", since))
        else:
            rows.append(("installing", f"{progress_text(payload.candidate)}, {since}"))
    rows.append(("latest", f"{clean(payload.active.name)}@{clean(payload.latest)}"))
    rows += [("available", clean(each)) for each in payload.available]
    rows += [("refused", _refusal(each)) for each in payload.refused]
    if (result := payload.last_result) is not None:
        rows.append(("last result", f"{result_text(result, MAX_REASON)}, {_when(result.time)}"))
    rows.append(("pinned", "yes: another is installed only when somebody asks" if payload.pinned else "no"))
    rows.append(("last check", _check(payload)))
    rows.append(("source", clean(payload.source, MAX_REASON) if payload.source else NO_SOURCE))
    return _aligned(rows)


def check_text(payload: ModelsPayload) -> str:
    """What the latest look at the source found."""
    check = payload.last_check
    if check is None:
        return "none yet"
    why = f": {clean(check.reason, MAX_REASON)}" if check.reason else ""
    return f"good{why}" if check.ok else f"failed{why}"


def _check(payload: ModelsPayload) -> str:
    check = payload.last_check
    return check_text(payload) + ("" if check is None else f", {_when(check.time)}")


def _bundle(bundle: BundlePart) -> str:
    return clean(bundle.id) + (" (the config's own)" if bundle.shipped else "")


def _refusal(result: ResultPart) -> str:
    why = f": {clean(result.reason, MAX_REASON)}" if result.reason else ""
    return f"{clean(result.bundle)} in {result.stage}{why}, {_when(result.time)}"


def _when(time: str) -> str:
    return parse_time(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    """Each title once, before the first of its rows."""
    width = max(len(title) for title, _ in rows) + 2
    titles = [title for title, _ in rows]
    shown = ["" if index and title == titles[index - 1] else title for index, title in enumerate(titles)]
    return [f"{title:<{width}}{words}" for title, (_, words) in zip(shown, rows, strict=True)]


Paint = Callable[[str, str], str]
"""Takes an ANSI colour and a text."""

Told = TypeVar("Told")

BAR_CELLS = 8
EIGHTHS = " ▏▎▍▌▋▊▉"
OLD_MS = 250.0
"""Above this, the age of a modality is shown."""

IN_TROUBLE = ("recovering", "degraded", "stalled", "backing_off")
"""States of a source that say why a node is not well."""

MAX_TROUBLES = 8
MAX_NODES = 1000
"""Nodes of which it is remembered what they said; names come from outside."""

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"


class Narrator:
    """Tells what is new: health when it changed, the state as it was found at first (events tell the rest).

    Of bundles, each stage that one comes to when it is installed, and what became of it.
    """

    def __init__(self, *, colour: bool, with_node: bool) -> None:
        self._colour = colour
        self._with_node = with_node
        self._health: dict[str, str] = {}
        self._models: dict[str, ModelsPayload] = {}

    def tell(self, received: Received) -> str | None:
        """The line for a message, or None when it is nothing new."""
        content = received.content
        if isinstance(content, StatePayload) and not received.retained:
            return None
        if isinstance(content, HealthReport):
            said = _health(content, _plain)
            if self._health.get(received.node) == said:
                return None
            _remember(self._health, received.node, said)
        if isinstance(content, ModelsPayload):
            before = self._models.get(received.node)
            _remember(self._models, received.node, content)
            if before is not None:
                return self._tell_models(received, before, content)
        return render(received, colour=self._colour, with_node=self._with_node)

    def _tell_models(self, received: Received, before: ModelsPayload, now: ModelsPayload) -> str | None:
        paint = _coloured if self._colour else _plain
        news = _news(before, now, paint)
        return _line(received, "; ".join(news), paint, self._with_node) if news else None


def _remember(memory: dict[str, Told], node: str, said: Told) -> None:
    if len(memory) >= MAX_NODES:
        memory.clear()
    memory[node] = said


def render(received: Received, *, colour: bool, with_node: bool) -> str:
    """One line: local time, stream, and what happened. Without `colour` every character of it is printable.

    Whatever came from the broker is cut at 80 characters, and what a terminal might obey is replaced.
    """
    paint = _coloured if colour else _plain
    content = received.content
    if isinstance(content, Malformed):
        said = paint(RED, f"malformed {received.kind}: {clean(content.reason)}")
    elif isinstance(content, RecognitionPayload):
        said = _recognition(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, EventPayload):
        said = _event(content, paint) + paint(DIM, _latency(received))
    elif isinstance(content, StatePayload):
        said = _state(content, paint)
    elif isinstance(content, HealthReport):
        said = _health(content, paint)
    elif isinstance(content, ModelsPayload):
        said = active_text(content) if content.candidate is None else f"installs {stage_text(content.candidate)}"
    else:
        said = paint(GREEN if content == "online" else RED, f"is {content}")
    return _line(received, said, paint, with_node)


def _line(received: Received, said: str, paint: Paint, with_node: bool) -> str:
    return f"{paint(DIM, _local_time(_instant(received)))}  {_where(received, with_node)}  {said}"


def _where(received: Received, with_node: bool) -> str:
    if received.stream is None:
        return f"node {clean(received.node)}"
    return clean(f"{received.node}/{received.stream}" if with_node else received.stream)


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
    return f"{paint(BOLD, clean(content.label))}  {_scored(content.score, paint)}  {'  '.join(shares)}"


def _share(content: RecognitionPayload, modality: Modality) -> str:
    age_ms = content.modalities[modality].age_ms
    old = f" ({age_ms / 1000:.1f} s old)" if age_ms >= OLD_MS else ""
    return f"{modality} {content.labels[0].shares.get(modality, 0.0):+.1f}{old}"


def _event(content: EventPayload, paint: Paint) -> str:
    label = paint(BOLD, clean(content.label))
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
    return f"{paint(BOLD, clean(content.label))} since {since}"


def _health(content: HealthReport, paint: Paint) -> str:
    if content.status == "ok":
        return f"is {paint(GREEN, 'well')}"
    if content.status == "stopped":
        return "has stopped"
    trouble = [
        f"{clean(stream)}/{clean(name)} is {clean(source.state).replace('_', ' ')}"
        + (f": {clean(source.reason)}" if source.reason else "")
        for stream, report in content.streams.items()
        for name, source in report.sources.items()
        if source.state in IN_TROUBLE
    ]
    return f"is {paint(RED, clean(content.status))}" + (f": {'; '.join(trouble[:MAX_TROUBLES])}" if trouble else "")


def _news(before: ModelsPayload, now: ModelsPayload, paint: Paint) -> list[str]:
    """What became of a bundle since, the stage that one has come to, and which runs now."""
    news = []
    if now.last_result is not None and now.last_result != before.last_result:
        news.append(paint(GREEN if now.last_result.ok else RED, result_text(now.last_result)))
    if now.candidate is not None and _step(now) != _step(before):
        news.append(f"installs {stage_text(now.candidate)}")
    if now.active.id != before.active.id:
        news.append(active_text(now))
    return news


def _step(models: ModelsPayload) -> tuple[str, str] | None:
    return None if models.candidate is None else (models.candidate.id, models.candidate.stage)


def _scored(score: float, paint: Paint) -> str:
    """The score as a number and a bar."""
    eighths = round(score * BAR_CELLS * 8)
    bar = ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).ljust(BAR_CELLS)[:BAR_CELLS]
    return f"{score:.2f} {paint(GREEN if score >= 0.5 else YELLOW, bar)}"


def _latency(received: Received) -> str:
    return "" if received.latency_ms is None else f"  {received.latency_ms:.0f} ms"


def _plain(_colour: str, text: str) -> str:
    return text


def _coloured(colour: str, text: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if text else ""
