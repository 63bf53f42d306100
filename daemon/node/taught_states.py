"""The states of one stream as they are published: by group, as long as the bundle has the group."""

from collections.abc import Collection, Iterable

from daemon.bundle.taught import UNKNOWN
from daemon.core.timing import wall_time
from daemon.fusion.states import StateChange
from daemon.mqtt.payloads import unit_score
from daemon.mqtt.teaching_payloads import StatesPayload, TaughtStatePart


class TaughtStates:
    """What is published of a stream's groups. A group is unknown until it is decided. Used by one thread."""

    def __init__(self) -> None:
        self._latest: dict[str, StateChange] = {}

    def follow(self, groups: Collection[str], now_ns: int) -> bool:
        """Take the groups of another bundle: known states stay. Return whether groups have come or gone."""
        kept = {name: self._latest.get(name, StateChange(name, None, None, now_ns)) for name in sorted(groups)}
        is_changed, self._latest = kept.keys() != self._latest.keys(), kept
        return is_changed

    def take(self, changes: Iterable[StateChange]) -> bool:
        """Take the changes of groups; return whether there is one."""
        is_changed = False
        for change in changes:
            if change.group in self._latest and self._latest[change.group].state != change.state:
                self._latest[change.group], is_changed = change, True
        return is_changed

    def payload(self, delay_ns: int) -> StatesPayload:
        """Return the payload. `delay_ns` is taken out of the published times."""
        return StatesPayload(states={name: _part(change, delay_ns) for name, change in self._latest.items()})


def _part(change: StateChange, delay_ns: int) -> TaughtStatePart:
    score = None if change.score is None else unit_score(change.score)
    return TaughtStatePart(state=change.state or UNKNOWN, score=score, since=wall_time(change.since_ns - delay_ns))
