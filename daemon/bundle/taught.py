"""The part of a manifest about labels that were taught on a device. No I/O. See docs/teaching.md."""

import unicodedata
from collections.abc import Collection
from operator import attrgetter
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from daemon.bundle.encoder_specs import FileName
from daemon.bundle.thresholds import Threshold
from daemon.core.document import StrictModel, problem_at

MAX_TAUGHT = 100
MAX_NAME = 64

# stands between the group and the state in the name of a label such as "garage: open"
STATE_SEPARATOR = ": "

# the state of a group when no single state is sure
UNKNOWN = "unknown"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected printable text")
    return text


Text64 = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


def group_of(label: str) -> str | None:
    """Return the group of a label such as `garage: open`; None for a label that makes events."""
    group, _, state = label.partition(STATE_SEPARATOR)
    return group.strip() if group.strip() and state.strip() else None


def state_name(label: str) -> str:
    """Return the state that a label of a group names: `open` for `garage: open`."""
    return label.partition(STATE_SEPARATOR)[2].strip() or label


def taught_name(name: str) -> str:
    """Return the one spelling of a taught label's name. Raises ValueError when it cannot be a name.

    Names that look alike are one name: blanks are single, and letters with accents are one character (NFC).
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name.isprintable() or set(name) & set("/+#"):
        raise ValueError("expected printable text without / + #")
    group, separator, state = " ".join(name.split()).partition(STATE_SEPARATOR)
    name = f"{group.rstrip()}{separator}{state}"
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"expected a name of 1 to {MAX_NAME} characters")
    if name.startswith(":") or name.endswith(":"):
        raise ValueError("expected a group and a state beside the colon, such as garage: open")
    if separator and state.casefold() == UNKNOWN:
        raise ValueError(f"{UNKNOWN} is the state of a group when no state is sure: expected another state")
    return name


def why_fixed(label: str, bundle: str, labels: Collection[str], groups: Collection[str]) -> str | None:
    """Return why a label cannot be taught; None: it can be.

    `labels` and `groups` of states are those of the bundle of this name that stay when others are taught.
    """
    if label in labels:
        return f"{label} is a label of {bundle} already"
    group = group_of(label)
    return f"{group} is a group of states of {bundle} already" if group in groups else None


class TaughtLabel(StrictModel):
    """One label that was taught: where it applies, and its thresholds there.

    `streams` has the thresholds by the name of the stream. `everywhere` has those of all other streams; null: the label
    does not apply there. `state_of` is the group of states that the label belongs to, such as `garage` for the label
    `garage: open`; null: the label makes events.
    """

    streams: Annotated[dict[Text64, Threshold], Field(max_length=64)] = {}
    everywhere: Threshold | None = None
    state_of: Text64 | None = None

    @model_validator(mode="after")
    def _check_scope(self) -> "TaughtLabel":
        if not self.streams and self.everywhere is None:
            raise problem_at("expected at least one stream, or `everywhere`", "streams")
        return self

    def threshold(self, stream: str) -> Threshold | None:
        """Return the thresholds of the label in a stream; None: the label does not apply there."""
        return self.streams.get(stream, self.everywhere)

    def on_all_streams(self) -> "TaughtLabel":
        """Return the label as it applies to streams of any name: to others with the highest of its thresholds."""
        everywhere = self.everywhere or max(self.streams.values(), key=attrgetter("start"))
        return self.model_copy(update={"everywhere": everywhere})


class Taught(StrictModel):
    """The labels that were taught, which are the last ones of the manifest, in the same order.

    `model` is a head of its own: it maps F to the scores (1, T + 1) and shares (1, M, T + 1) of the T labels and of one
    further label, whose logit is 0. Its scores are independent of each other. `cases` is an archive with the features
    (n, D + M) of stored moments and the scores (n, T) that they must give.

    `inherited` names the first of the labels, which came with the base. They stay as they are when others are taught.
    """

    model: FileName
    cases: FileName
    labels: Annotated[dict[Text64, TaughtLabel], Field(min_length=1, max_length=MAX_TAUGHT)]
    inherited: list[str] = []

    @model_validator(mode="after")
    def _check_inherited(self) -> "Taught":
        if self.inherited != [*self.labels][: len(self.inherited)]:
            raise problem_at("expected the first of `labels`, in their order", "inherited")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> "Taught":
        for name, label in self.labels.items():
            if name != taught_name(name):
                raise problem_at(f"expected {taught_name(name)!r}", "labels", name)
            if label.state_of != group_of(name):
                raise problem_at(f"expected {group_of(name) or 'null'}", "labels", name, "state_of")
        return self

    def in_scope(self, stream: str) -> list[int]:
        """Return the indices of the labels that apply in a stream."""
        return [index for index, label in enumerate(self.labels.values()) if label.threshold(stream) is not None]

    def groups(self, stream: str) -> dict[str, list[str]]:
        """Return the labels of each group of states that apply to a stream."""
        found: dict[str, list[str]] = {}
        for name, label in self.labels.items():
            if label.state_of is not None and label.threshold(stream) is not None:
                found.setdefault(label.state_of, []).append(name)
        return found
