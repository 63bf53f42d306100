"""What a stream publishes of its states: unknown at first, then as decided, and nothing of groups that are gone."""

from daemon.core.timing import monotonic_ns
from daemon.fusion.states import StateChange
from daemon.node.taught_states import TaughtStates


def shown(states: TaughtStates) -> dict[str, tuple[str, float | None]]:
    return {name: (part.state, part.score) for name, part in states.payload(0).states.items()}


def test_a_group_is_unknown_until_it_is_decided() -> None:
    states, now_ns = TaughtStates(), monotonic_ns()
    assert states.follow(["garage", "lamp"], now_ns)
    assert shown(states) == {"garage": ("unknown", None), "lamp": ("unknown", None)}
    assert states.take([StateChange("garage", "open", 0.91, now_ns)])
    assert shown(states) == {"garage": ("open", 0.91), "lamp": ("unknown", None)}


def test_a_state_stays_when_the_next_bundle_has_its_group_too() -> None:
    states, now_ns = TaughtStates(), monotonic_ns()
    states.follow(["garage", "lamp"], now_ns)
    states.take([StateChange("garage", "open", 0.91, now_ns)])
    assert not states.follow(["lamp", "garage"], now_ns)
    assert not states.take([StateChange("garage", "open", 0.95, now_ns)])
    assert shown(states)["garage"] == ("open", 0.91)
    assert states.follow(["garage"], now_ns)
    assert shown(states) == {"garage": ("open", 0.91)}
    assert states.follow([], now_ns)
    assert shown(states) == {}


def test_the_change_of_an_unknown_group_is_ignored() -> None:
    states = TaughtStates()
    assert not states.take([StateChange("garage", "open", 0.9, monotonic_ns())])
    assert shown(states) == {}
