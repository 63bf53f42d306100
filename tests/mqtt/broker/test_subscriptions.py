"""When a filter is asked for again: pure rules."""

from daemon.mqtt.broker.subscriptions import Subscriptions
from daemon.mqtt.broker.waits import Waits

WAITS = Waits(suback_s=10.0, first_resubscribe_s=2.0, longest_resubscribe_s=8.0)


def asked(*filters: str) -> Subscriptions:
    subscriptions = Subscriptions(WAITS)
    for number, name in enumerate(filters):
        subscriptions.add(name, qos=0)
        assert (name, 0) in subscriptions.due(100.0)
        subscriptions.asked(name, number, 100.0)
    return subscriptions


def test_what_is_granted_is_not_asked_for_again() -> None:
    subscriptions = asked("a", "b")
    assert (subscriptions.granted(0), subscriptions.granted(1)) == ("a", "b")
    assert (subscriptions.due(1e9), subscriptions.unanswered(1e9), subscriptions.refused) == ([], [], [])


def test_what_is_refused_is_asked_for_again_with_growing_waits() -> None:
    subscriptions, now_s = asked("a"), 100.0
    for low, high in ((1, 2), (2, 4), (4, 8), (4, 8)):
        assert subscriptions.refused_by(0, now_s) == "a"
        assert subscriptions.refused == ["a"]
        assert subscriptions.due(now_s + low - 0.01) == []
        assert subscriptions.due(now_s + high) == [("a", 0)]
        now_s += high
        subscriptions.asked("a", 0, now_s)
        assert subscriptions.refused == ["a"], "until it is granted"
    subscriptions.granted(0)
    assert subscriptions.refused == []


def test_what_is_not_answered_counts_as_refused() -> None:
    subscriptions = asked("a", "b")
    subscriptions.granted(0)
    assert subscriptions.unanswered(109.9) == []
    assert subscriptions.unanswered(110.0) == ["b"]
    assert subscriptions.refused == ["b"]
    assert subscriptions.due(112.0) == [("b", 0)]


def test_answers_of_unknown_ids_change_nothing() -> None:
    subscriptions = asked("a")
    assert (subscriptions.granted(7), subscriptions.refused_by(7, 100.0)) == (None, None)
    subscriptions.granted(0)
    assert subscriptions.refused_by(0, 100.0) is None, "it was answered already"
    assert subscriptions.refused == []


def test_what_the_limits_exclude_is_refused_and_never_asked_for() -> None:
    subscriptions = Subscriptions(WAITS)
    subscriptions.add("a/+", qos=0)
    subscriptions.give_up("a/+")
    assert (subscriptions.refused, subscriptions.due(1e9), subscriptions.unanswered(1e9)) == (["a/+"], [], [])
