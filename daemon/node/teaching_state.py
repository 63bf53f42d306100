"""What the retained topic `teaching` says: how far each taught label is, in words. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from daemon.bundle.taught import TaughtLabel, group_of
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S
from daemon.mqtt.teaching_payloads import (
    PlacePart,
    QuestionPart,
    RatePart,
    TaughtLabelPart,
    TaughtState,
    TeachingPayload,
)
from daemon.node.fits import Phase
from daemon.teaching.gathering import FIRST_NS
from daemon.teaching.records import NEEDED_BACKGROUND
from daemon.teaching.report import LabelReport, Report

SECONDS_PER_MINUTE = 60

# of the one line that Home Assistant shows as a state
MAX_TEXT = 250

LOST = "recognised as before, but its examples are lost: teach it again, restore a backup, or forget it"

NOTHING_TAUGHT = "nothing is taught yet"


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """A taught label: the streams of its presses, whether it applies everywhere, and its presses and corrections.

    `is_lost`: it runs, but its examples are gone, and nobody has removed them.
    """

    name: str
    streams: frozenset[str]
    everywhere: bool
    presses: int
    wrong: int
    is_lost: bool = False

    @property
    def state_of(self) -> str | None:
        """The group of states that the label belongs to; None: it makes events."""
        return group_of(self.name)


@dataclass(frozen=True, slots=True)
class TeachingFacts:
    """What is known of teaching at one instant.

    `places` has the number of moments of background by live stream. `text_alone` are the live streams of text, of
    which lines come when they come. `active` are the taught labels of the active
    bundle, which `report` describes. `fixed` says of labels why they cannot be taught onto this bundle. `problem` says
    why nothing can be taught now, or why the labels are not active. `held` says why nothing is fitted, although the
    labels that run stay. `lost` says what was lost with a damaged file.
    `off` says why nothing can be taught at all.
    """

    node: str
    bundle: str
    next_label: str | None = None
    places: Mapping[str, int] = field(default_factory=dict)
    text_alone: frozenset[str] = frozenset()
    labels: Sequence[LabelFacts] = ()
    active: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = field(default_factory=dict)
    report: Report | None = None
    phase: Phase = "idle"
    problem: str | None = None
    held: str | None = None
    lost: str | None = None
    off: str | None = None
    question: QuestionPart | None = None


def teaching_payload(facts: TeachingFacts, time: str) -> TeachingPayload:
    """Return the payload of the topic `teaching`."""
    reports = {} if facts.report is None else {one.label: one for one in facts.report.labels}
    labels = [_label_part(label, facts, reports.get(label.name)) for label in facts.labels]
    return TeachingPayload(
        node=facts.node,
        time=time,
        enabled=facts.off is None,
        bundle=facts.bundle,
        text=clean(_text(facts, labels), MAX_TEXT),
        next_label=facts.next_label,
        places={name: PlacePart(background=count, needed=NEEDED_BACKGROUND) for name, count in facts.places.items()},
        labels=labels,
        question=facts.question,
    )


def lost_label(name: str, taught: TaughtLabel) -> LabelFacts:
    """Return what is known of a label that runs, and whose examples are lost."""
    is_everywhere = taught.everywhere is not None
    return LabelFacts(name, frozenset(taught.streams), is_everywhere, presses=0, wrong=0, is_lost=True)


def known_places(places: Mapping[str, int]) -> frozenset[str]:
    """Return the streams with enough background."""
    return frozenset(name for name, count in places.items() if count >= NEEDED_BACKGROUND)


def can_be_fitted(label: LabelFacts, known: frozenset[str]) -> bool:
    """Return whether a label can be fitted: a state needs no background, another label that of one of its streams."""
    return label.state_of is not None or bool(known if label.everywhere else label.streams & known)


def _label_part(label: LabelFacts, facts: TeachingFacts, report: LabelReport | None) -> TaughtLabelPart:
    state = _state_of(label, facts)
    rate = None if report is None else report.false_alarms_a_day
    return TaughtLabelPart(
        label=label.name,
        streams=sorted(label.streams),
        everywhere=label.everywhere,
        state_of=label.state_of,
        presses=label.presses,
        wrong=label.wrong,
        state=state,
        text=f"{_count(label.presses)}, {_state_text(label, state, facts, report)}",
        found=None if report is None else report.found,
        tried=None if report is None else report.tried,
        false_alarms_a_day=None if rate is None else RatePart(**rate.model_dump()),
        warnings=[] if report is None else list(report.warnings),
    )


def _state_of(label: LabelFacts, facts: TeachingFacts) -> TaughtState:
    if label.name in facts.fixed or label.is_lost:
        return "problem"
    if label.name not in facts.active and not can_be_fitted(label, known_places(facts.places)):
        return "learning_place"
    if facts.phase == "fitting":
        return "fitting"
    if facts.phase in ("waiting", "installing"):
        return "waiting"
    return "ready" if label.name in facts.active else "problem"


def _state_text(label: LabelFacts, state: TaughtState, facts: TeachingFacts, report: LabelReport | None) -> str:
    match state:
        case "learning_place":
            return _place_text(label, facts)
        case "fitting":
            return "being fitted"
        case "waiting":
            return "is being tried" if facts.phase == "installing" else facts.problem or "waits to be fitted"
        case "problem":
            if label.name in facts.fixed:
                return f"not used: {facts.fixed[label.name]}"
            return LOST if label.is_lost else facts.problem or facts.held or "not fitted"
    return _found_text(report)


def _found_text(report: LabelReport | None) -> str:
    if report is None or report.found is None or report.tried is None:
        return "ready"
    verb = "heard" if set(report.senses) == {"audio"} else "seen" if set(report.senses) == {"image"} else "recognised"
    return f"ready, {verb} in {report.found} of {report.tried}"


def _place_text(label: LabelFacts, facts: TeachingFacts) -> str:
    places = {name: count for name, count in facts.places.items() if label.everywhere or name in label.streams}
    return _learning_text(places, facts) if places else "its stream is not there"


def _learning_text(places: Mapping[str, int], facts: TeachingFacts) -> str:
    """Return how far the best known of some places is, and how long the rest takes without further presses."""
    name, count = max(places.items(), key=itemgetter(1))
    text = f"learning this place: {count} of {NEEDED_BACKGROUND}"
    if name in facts.text_alone:
        return text
    minutes = math.ceil((NEEDED_BACKGROUND - count) * FIRST_NS / NS_PER_S / SECONDS_PER_MINUTE)
    return f"{text}, about {minutes} minute{'' if minutes == 1 else 's'} more"


def _text(facts: TeachingFacts, labels: Sequence[TaughtLabelPart]) -> str:
    """Return the most important thing in one line: a problem, then what is under way, then the labels."""
    if facts.off is not None:
        return facts.off
    if facts.problem is not None and facts.phase == "idle":
        return facts.problem
    if facts.held is not None:
        return facts.held
    if facts.lost is not None and not labels:
        return facts.lost
    learning = {name: count for name, count in facts.places.items() if count < NEEDED_BACKGROUND}
    is_only_learning = all(part.state == "learning_place" for part in labels)  # a state needs no background
    if learning and len(learning) == len(facts.places) and is_only_learning:
        return _learning_text(learning, facts)
    order: list[TaughtState] = ["problem", "fitting", "waiting", "learning_place", "ready"]
    ordered = sorted(labels, key=lambda part: order.index(part.state))
    return "; ".join(f"{part.label}: {part.text}" for part in ordered) or NOTHING_TAUGHT


def _count(presses: int) -> str:
    return "1 press" if presses == 1 else f"{presses} presses"
