"""Finds out when a node has finished what a command to teach has begun, from its topic `teaching`. Pure."""

from dataclasses import dataclass

from daemon.mqtt.teaching_payloads import TaughtLabelPart, TeachingPayload

# Seconds without news after which a node that computes nothing has taken up a command. It begins a fit within two.
SETTLED_S = 5.0

# Seconds without news while a fit is computed, verified and installed, on a slow card.
WORK_S = 180.0

# states in which the node is at work for the label, so that another one follows
AT_WORK = ("waiting", "fitting")


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a command waits for news, by what the node does meanwhile."""

    settled_s: float = SETTLED_S
    work_s: float = WORK_S

    def seconds(self, label: str | None, now: TeachingPayload) -> float:
        """Return how long to wait for the next news."""
        return self.work_s if is_at_work(label, now) else self.settled_s


def part_of(label: str | None, payload: TeachingPayload) -> TaughtLabelPart | None:
    """Return what the payload says of a label; None: nothing."""
    return next((part for part in payload.labels if part.label == label), None)


def is_at_work(label: str | None, now: TeachingPayload) -> bool:
    """Return whether the node computes or installs weights, of this label, or of any without one."""
    parts = now.labels if label is None else [part for part in now.labels if part.label == label]
    return any(part.state in AT_WORK for part in parts)


def is_taught(label: str | None, before: TeachingPayload, now: TeachingPayload) -> bool:
    """Return whether the node has done what can be done with a new example of a label, or with a correction of it.

    Its report covers every press then. While the node learns the place, nothing can be done before that is known.
    """
    part, part_before = part_of(label, now), part_of(label, before)
    if part is None or part.state in AT_WORK:
        return False
    if part_before is not None and (part.presses, part.wrong) == (part_before.presses, part_before.wrong):
        return False  # the payload of before the command
    if part.state == "ready":  # of a single press nothing can be held out
        return part.presses == (part.tried or 1)
    return part.state == "learning_place"


def further_text(label: str | None, now: TeachingPayload) -> str | None:
    """Return what follows by itself once the node knows the place; None: nothing is left to follow."""
    part = part_of(label, now)
    if part is None or part.state != "learning_place":
        return None
    return "  the node then fits it by itself; perceptd watch shows when it is in use"


def outcome_text(label: str | None, now: TeachingPayload) -> tuple[bool, str]:
    """Return whether all is as it should be, and what the node says of the label; without a label, of all."""
    part = part_of(label, now)
    if part is None:
        problems = [each for each in now.labels if each.state == "problem"]
        return not problems, now.text
    return part.state != "problem", f"{part.label}: {part.text}"
