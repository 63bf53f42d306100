"""Texts for people about what a node was taught."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from daemon.bundle.taught import group_of
from daemon.cli.models_text import aligned, when
from daemon.core.text import clean, hours_text
from daemon.mqtt.commands import AnswerPayload
from daemon.mqtt.payloads import Name, Part, Time
from daemon.mqtt.teaching_payloads import RatePart, TaughtLabelPart, TeachingPayload
from daemon.mqtt.update_payloads import MAX_REASON
from daemon.teaching.report import SHOWN_ID

SENSES = {"image": "picture", "audio": "sound", "text": "text"}

MAX_LISTED = 1000
MAX_LINES = 1000


class Taken(Part):
    """The result of `teach` and `teach_missed`: the example that was made."""

    example: Name
    label: Name
    moments: int = 0
    senses: list[Name] = []
    left_out: list[Name] = []


class Listed(Part):
    """One example, as `teach_list` gives it."""

    id: Name
    label: Name
    stream: Name
    time: Time
    origin: Name = "press"
    picture: bool = False
    sound: bool = False


class Examples(Part):
    """The result of `teach_list`. `left_out` counts older examples that are not listed."""

    examples: Annotated[list[Listed], Field(max_length=MAX_LISTED)] = []
    left_out: int = 0


class ReportLines(Part):
    """The result of `teach_report`, as text."""

    text: Annotated[list[str], Field(max_length=MAX_LINES)] = []


def taken_lines(result: dict[str, Any] | None) -> list[str]:
    """Return what was made of a press, and what of it is of no use."""
    try:
        taken = Taken.model_validate(result or {})
    except ValidationError:
        return []
    senses = " and ".join(clean(SENSES.get(sense, sense)) for sense in taken.senses) or "no sense"
    of = f"{counted(taken.moments, 'moment')} of {senses}"
    lines = [f"{clean(taken.label)}: example {clean(taken.example)[:SHOWN_ID]} has {of}"]
    lines += [f"  left out: {clean(each, MAX_REASON)}" for each in taken.left_out]
    return lines + colon_remark(taken.label)


def counted(count: int, noun: str) -> str:
    """Return a number of things in words, such as `1 moment` or `9 moments`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def colon_remark(label: str) -> list[str]:
    """Return a remark on a label with a colon but no blank behind it: it makes events, and may be meant as a state."""
    group, colon, state = label.partition(":")
    if not colon or group_of(label) is not None or not (group[-1:].isalpha() and state[:1].isalpha()):
        return []
    shown = clean(f"{group}: {state}")
    return [f'  it makes events, and is no state of {clean(group)}: a state has a blank behind the colon, "{shown}"']


def examples_of(answer: AnswerPayload) -> Examples:
    """Return the examples in an answer; none where they cannot be read."""
    try:
        return Examples.model_validate(answer.result or {})
    except ValidationError:
        return Examples()


def report_lines(answer: AnswerPayload) -> list[str]:
    """Return the lines of the report in an answer."""
    try:
        return [clean(line, MAX_REASON) for line in ReportLines.model_validate(answer.result or {}).text]
    except ValidationError:
        return []


def listing(payload: TeachingPayload, examples: Examples) -> list[str]:
    """Return what a node was taught as lines: labels, places, the question, and all examples."""
    rows = [("teaching", clean(payload.text, MAX_REASON))]
    rows += [("label", line) for part in payload.labels for line in _label_lines(part)]
    for name, place in payload.places.items():
        known = "" if place.background >= place.needed else f", {place.needed} are needed"
        rows.append(("place", f"{clean(name)}: {place.background} moments of background{known}"))
    if payload.next_label is not None:
        rows.append(("next label", clean(payload.next_label)))
    if (question := payload.question) is not None:
        rows.append(
            ("question", f"{clean(question.text, MAX_REASON)} (perceptd teach answer right | wrong | was LABEL)")
        )
    if examples.left_out:
        rows.append(("example", f"{examples.left_out} older ones are not listed"))
    rows += [("example", _example_line(each)) for each in examples.examples]
    return aligned(rows)


def rate_text(rate: RatePart) -> str:
    """Return how often a label may start an event wrongly."""
    between = f"{figure(rate.low)} to {figure(rate.high)}"
    return f"false alarms a day: {figure(rate.expected)} ({between}, from {hours_text(rate.hours)} of background)"


def figure(value: float) -> str:
    """Return a number with two digits that count, as in the report."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _label_lines(part: TaughtLabelPart) -> list[str]:
    where = "everywhere" if part.everywhere else ", ".join(map(clean, part.streams))
    line = f"{clean(part.label)} ({where}): {clean(part.text, MAX_REASON)}"
    if part.state == "ready" and part.false_alarms_a_day is not None:
        line += f"; {rate_text(part.false_alarms_a_day)}"
    return [line, *(f"  {clean(warning, MAX_REASON)}" for warning in part.warnings)]


def _example_line(example: Listed) -> str:
    kept = [name for name, is_there in (("picture", example.picture), ("sound", example.sound)) if is_there]
    words = [when(example.time), clean(example.label), clean(example.stream), clean(example.origin)]
    return f"{clean(example.id)[:SHOWN_ID]}  {'  '.join(words)}  {' and '.join(kept) or 'embeddings only'}"
