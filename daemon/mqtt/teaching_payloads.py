"""The payloads about taught labels: the retained topics `teaching` of a node and `states` of a stream."""

from typing import Annotated, Literal

from pydantic import Field

from daemon.mqtt.payloads import Name, Number, Part, Payload, Score, Time
from daemon.mqtt.update_payloads import SafeText

# learning_place: too little background yet; waiting: a fit waits for another one, or for the trial of its bundle;
# fitting: its weights are being computed; ready: it is recognised; problem: see `text`
TaughtState = Literal["learning_place", "waiting", "fitting", "ready", "problem"]

Count = Annotated[int, Field(ge=0)]


class PlacePart(Part):
    """How well the background of a stream is known: `background` moments, of `needed` at least."""

    background: Count
    needed: Count


class RatePart(Part):
    """How often a day a label is expected to start an event wrongly; based on `hours` of background."""

    expected: Number
    low: Number
    high: Number
    hours: Number


class TaughtLabelPart(Part):
    """One taught label: its streams (`everywhere`: all), its presses, and how well held-out presses were recognised.

    `found` of `tried` presses were recognised while they were held out; null: nothing was fitted yet.
    """

    label: Name
    streams: list[Name]
    everywhere: bool
    state_of: Name | None
    presses: Count
    wrong: Count
    state: TaughtState
    text: SafeText
    found: Count | None
    tried: Count | None
    false_alarms_a_day: RatePart | None
    warnings: list[SafeText]


class QuestionPart(Part):
    """A question of the device about a moment. `recognised` says whether the label made an event then."""

    id: Name
    stream: Name
    label: Name
    time: Time
    why: Literal["near_threshold", "flip_flop", "spot_check"]
    recognised: bool
    text: SafeText


class TeachingPayload(Payload):
    """What a node has been taught, as retained on `perceptd/<node>/teaching`. `text` says it in one line."""

    node: Name
    time: Time
    enabled: bool
    bundle: Name
    text: SafeText
    next_label: Name | None
    places: dict[Name, PlacePart]
    labels: list[TaughtLabelPart]
    question: QuestionPart | None


class TaughtStatePart(Part):
    """The state of a group such as `garage`; `unknown` when no state is sure, with a score of null.

    `since` is when it began.
    """

    state: Name
    score: Score | None
    since: Time


class StatesPayload(Payload):
    """The states of a stream by group, as retained on `perceptd/<node>/<stream>/states`."""

    states: Annotated[dict[Name, TaughtStatePart], Field(max_length=100)]
