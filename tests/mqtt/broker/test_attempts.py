"""Which address and version come next, and after what wait: pure rules."""

import socket

import pytest

from daemon.mqtt.broker.addresses import MAX_ADDRESSES, Addresses, resolve
from daemon.mqtt.broker.attempts import KEPT_ROUNDS, SHORT_ROUNDS, Attempts, ProtocolChoice
from daemon.mqtt.broker.waits import Waits

WAITS = Waits(first_retry_s=1.0, longest_retry_s=4.0, first_takeover_s=60.0, longest_takeover_s=3600.0)


class Names:
    """A resolver with a table; a name that is not in it is unknown."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        assert port == 1883
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(f"{host} is unknown")
        return self.addresses[host]


def attempts_of(names: Names, *hosts: str, spread_s: float = 0.0) -> Attempts:
    return Attempts(Addresses(hosts, 1883, names), WAITS, spread_s)


def tried(attempts: Attempts, count: int, end: str = "failed") -> list[str]:
    """Return what `count` attempts try, all of which end so; a star marks a wait before the next attempt."""
    found = []
    for _ in range(count):
        try:
            shown = attempts.address().address
        except OSError:
            shown = "?"
        found.append(shown + ("*" if attempts.wait_s(end, 0.1) else ""))
    return found


def test_all_addresses_of_all_hosts_are_tried_before_a_wait() -> None:
    names = Names(one=["a", "b"], two=["c"])
    attempts = attempts_of(names, "one", "two")
    assert tried(attempts, 6) == ["a", "b", "c*", "a", "b", "c*"]
    assert names.asked == ["one", "two"] * 2, "each round resolves the names again"


@pytest.mark.parametrize(("hosts", "has_others"), [(("one", "two"), True), (("three",), True), (("two",), False)])
def test_silence_is_waited_for_only_shortly_while_there_are_others_and_longer_in_later_rounds(
    hosts: tuple[str, ...], has_others: bool
) -> None:
    names = Names(one=["a"], two=["b"], three=["c", "d"])
    attempts = attempts_of(names, *hosts)

    def patience() -> list[float]:
        found = []
        for _ in range(SHORT_ROUNDS + 1):
            attempts.address()
            found.append(attempts.connack_s)
            while attempts.wait_s("unanswered", 0.1) == 0.0:
                attempts.address()
        return found

    short = WAITS.first_connack_s if has_others else WAITS.connack_s
    assert patience() == [short] * SHORT_ROUNDS + [WAITS.connack_s]
    attempts.address()
    attempts.works()
    assert attempts.connack_s == short


def test_a_name_that_is_unknown_is_passed_over_until_it_is_known() -> None:
    names = Names(two=["c"])
    attempts = attempts_of(names, "one", "two")
    assert tried(attempts, 4) == ["?", "c*", "?", "c*"]
    names.addresses["one"] = ["a"]
    assert tried(attempts, 2) == ["a", "c*"]
    assert tried(attempts_of(Names(), "one"), 2) == ["?*", "?*"]


@pytest.mark.parametrize("end", ["failed", "unanswered"])
def test_the_next_address_is_tried_after_each_failure_before_the_login(end: str) -> None:
    assert tried(attempts_of(Names(one=["a", "b"]), "one"), 4, end) == ["a", "b*", "a", "b*"]


def test_after_a_connection_that_held_the_same_address_comes_first_and_then_every_other_one() -> None:
    attempts = attempts_of(Names(one=["a", "b", "c"], two=["d"]), "one", "two")
    assert tried(attempts, 1) == ["a"]
    assert attempts.address().address == "b"
    attempts.works()
    assert attempts.wait_s("lost", 100.0) > 0
    assert tried(attempts, 5) == ["b", "c", "a", "d*", "a"]


@pytest.mark.parametrize(("end", "lasted_s"), [("lost", 0.1), ("sent_away", 100.0)])
def test_a_broker_that_sends_the_node_away_is_left(end: str, lasted_s: float) -> None:
    attempts = attempts_of(Names(one=["a", "b"]), "one")
    assert attempts.address().address == "a"
    attempts.works()
    assert attempts.wait_s(end, lasted_s) > 0
    assert tried(attempts, 2) == ["b*", "a"]


def test_waits_grow_from_round_to_round_and_are_short_again_after_a_connection_that_held() -> None:
    attempts = attempts_of(Names(one=["a"]), "one")
    for low, high in ((0.5, 1), (1, 2), (2, 4), (2, 4)):
        attempts.address()
        assert low <= attempts.wait_s("failed", 0.0) <= high
    attempts.works()
    assert 0.5 <= attempts.wait_s("lost", 6.0) <= 1
    for low, high in ((1, 2), (2, 4), (2, 4)):
        attempts.works()
        assert low <= attempts.wait_s("lost", 1.0) <= high, "a broker that accepts and cuts is no working one"


def test_the_first_attempt_after_a_loss_is_spread() -> None:
    attempts = attempts_of(Names(one=["a"]), "one", spread_s=1000.0)
    attempts.address()
    assert attempts.wait_s("failed", 0.0) <= 1.0
    waits = []
    for _ in range(64):
        attempts.works()
        waits.append(attempts.wait_s("lost", 10.0))
    assert all(0.5 <= wait <= 1001.0 for wait in waits)
    assert max(waits) - min(waits) > 500.0
    assert attempts.wait_s("failed", 0.0) <= 2.0


def test_a_namesake_is_given_way_to_for_longer_and_longer() -> None:
    attempts = attempts_of(Names(one=["a"]), "one")
    for low, high in ((30, 60), (60, 120), (120, 240)):
        assert low <= attempts.wait_s("taken_over", 1.0) <= high
    assert 30 <= attempts.wait_s("taken_over", 3601.0) <= 60


def test_a_version_that_is_not_spoken_is_left_at_once_but_not_again_and_again() -> None:
    attempts = attempts_of(Names(one=["a", "b"]), "one")
    assert attempts.address().address == "a"
    assert attempts.wait_s("unsupported", 0.1) == 0.0
    assert (attempts.address().address, attempts.protocol.version) == ("a", "3.1.1")
    assert tried(attempts, 4, "unsupported") == ["a", "b", "b*", "a"]


def test_another_last_will_is_tried_at_once_with_the_same_broker() -> None:
    attempts = attempts_of(Names(one=["a", "b"]), "one")
    assert attempts.address().address == "a"
    assert attempts.wait_s("other_will", 0.1) == 0.0
    assert attempts.address().address == "a"


def versions(choice: ProtocolChoice, count: int) -> list[str]:
    found = []
    for _ in range(count):
        found.append(choice.version)
        choice.is_unanswered()
    return found


def test_versions_alternate_until_one_works() -> None:
    assert versions(ProtocolChoice(), 4) == ["5", "3.1.1", "5", "3.1.1"]


def test_the_version_that_worked_is_kept_for_several_rounds() -> None:
    choice = ProtocolChoice()
    choice.is_unsupported()
    choice.works()
    assert versions(choice, 2 * KEPT_ROUNDS + 2) == (["3.1.1"] * KEPT_ROUNDS + ["5"]) * 2


def test_a_broker_that_begins_to_speak_the_other_version_is_found() -> None:
    choice = ProtocolChoice()
    choice.works()
    versions(choice, KEPT_ROUNDS)
    assert choice.version == "3.1.1"
    choice.works()
    assert versions(choice, 2) == ["3.1.1", "3.1.1"]


def test_the_version_changes_only_when_a_whole_round_was_not_answered() -> None:
    attempts = attempts_of(Names(one=["a", "b"]), "one")
    attempts.address()
    attempts.wait_s("unanswered", 0.1)
    assert (attempts.address().address, attempts.protocol.version) == ("b", "5")
    attempts.wait_s("failed", 0.0)
    assert (attempts.address().address, attempts.protocol.version) == ("a", "3.1.1")


def test_the_addresses_of_a_hostile_name_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def thousand(*_: object, **_kind: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n % 100}", 1883)) for n in range(1000)]

    monkeypatch.setattr(socket, "getaddrinfo", thousand)
    assert resolve("name", 1883) == [f"127.0.0.{n}" for n in range(MAX_ADDRESSES)]


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1:1883"), ("::1", "[::1]:1883"), ("localhost", "localhost:1883 (")]
)
def test_an_address_is_shown_beside_its_name(host: str, shown: str) -> None:
    assert str(Addresses([host], 1883).current()).startswith(shown)
