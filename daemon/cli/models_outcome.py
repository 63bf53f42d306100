"""Finds the outcome of a command about bundles, from the payload before the command and the latest one. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from daemon.cli.models_text import active_text, check_text, result_text, stage_text, waiting_text
from daemon.mqtt.update_payloads import MAX_REASON, ModelsPayload

# Seconds without news in which a node that installs nothing is expected to act. Looking at the source may take 300 s.
IDLE_S = 360.0

# Seconds that one stage of an installation may take without news: the verification of a large bundle on a slow card
STAGE_S = 1200.0

# a node that begins again with other sources is offline for a minute at most, on a small board with a slow card
OFFLINE_S = 120.0

# whether the node has obeyed, and a message for a person
Outcome = tuple[bool, str]

# the outcome, from the payload before the command and the payload now; None while there is no outcome yet
FindOutcome = Callable[[ModelsPayload, ModelsPayload], Outcome | None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a command waits for news, by what the node does meanwhile."""

    idle_s: float = IDLE_S
    stage_s: float = STAGE_S
    offline_s: float = OFFLINE_S

    def seconds(self, now: ModelsPayload, *, is_offline: bool) -> float:
        """Return how long to wait for the next news."""
        if is_offline:
            return self.offline_s
        return self.stage_s if _is_installing(now) else self.idle_s


def last_word(now: ModelsPayload, seconds: float, *, is_offline: bool) -> str:
    """Return why a command does not wait any longer."""
    if is_offline:
        return f"it has been offline for {seconds:g} s, and goes on when it starts again"
    if now.candidate is not None and _is_installing(now):
        return f"nothing new for {seconds:g} s from {stage_text(now.candidate)}"
    return f"it has accepted the command, and has done nothing for {seconds:g} s; it {active_text(now)}"


def outcome_of(action: str, arguments: dict[str, object]) -> FindOutcome:
    """Return the function that finds the outcome of an action with these arguments."""
    finders: dict[str, FindOutcome] = {
        "check": checked,
        "install": partial(installed, arguments),
        "rollback": rolled_back,
        "pin": partial(pinned, arguments.get("on") is True),
    }
    return finders[action]


def checked(before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to check the source."""
    if now.last_check is None or now.last_check == before.last_check:
        return None
    return now.last_check.ok, f"check: {check_text(now)}; {active_text(now)}"


def installed(arguments: dict[str, object], before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to install. The command is done when the bundle is active and on probation.

    Another bundle's probation may end meanwhile, so only results of the requested bundle count. It may become active
    with the labels that were taught, or wait for them.
    """
    result = now.last_result
    if result is not None and result != before.last_result and _is_requested(arguments, result.bundle):
        return result.ok, result_text(result, MAX_REASON)
    candidate = now.candidate
    if candidate is not None and candidate.waits is not None and _is_requested(arguments, candidate.id):
        return False, f"{waiting_text(candidate)}; {active_text(now)}"
    if now.active.id != before.active.id and _is_requested(arguments, now.active.id.partition("+")[0]):
        return (
            True,
            f"{active_text(now)}; it is on probation: if it does worse, the node goes back to the previous bundle",
        )
    return None


def rolled_back(before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to roll back.

    Before the first installation is complete there is no bundle to go back to: the command ends the installation.
    A result that confirms the bundle to be left may come meanwhile. It is no outcome.
    """
    result = now.last_result
    has_failed = result is not None and result != before.last_result and not result.ok
    if before.active.shipped:
        if result is not None and has_failed and now.active.id == before.active.id and not _is_installing(now):
            return True, f"{result_text(result, MAX_REASON)}; {active_text(now)}"
        return None
    # the installation that is to end may have been quicker than the command
    if now.active.id not in (before.active.id, _installing_id(before)):
        return True, active_text(now)
    if result is not None and has_failed and result.bundle == before.active.id:
        return False, result_text(result, MAX_REASON)
    return None


def pinned(on: bool, _before: ModelsPayload, now: ModelsPayload) -> Outcome | None:
    """Return the outcome of the command to pin (`on`) or to unpin."""
    if now.pinned != on:
        return None
    return True, "keeps its bundle until somebody asks for another" if on else "takes newer bundles again"


def _is_installing(models: ModelsPayload) -> bool:
    return models.candidate is not None and models.candidate.stage != "probation"


def _installing_id(models: ModelsPayload) -> str | None:
    return models.candidate.id if models.candidate is not None and _is_installing(models) else None


def _is_requested(arguments: dict[str, object], bundle_id: str) -> bool:
    name, _, version = bundle_id.partition("@")
    return arguments.get("name", name) == name and arguments.get("version", version) == version
