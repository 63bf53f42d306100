"""A stream that the machine decodes too slowly is skipped to key pictures, and no other stream is."""

import itertools
from collections.abc import Callable

import pytest

from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.network.backlog import Backlog

FPS = 20
DURATION_S = 60


def no_pause(sent_s: float) -> float:
    return sent_s


def paused(sent_s: float) -> float:
    """Return when a picture arrives that a network has held up from the 20th to the 23rd second."""
    return 23.0 if 20 <= sent_s < 23 else sent_s


def received(
    decode_s: float, *, key_every: int = 10, network: Callable[[float], float] = no_pause, wrong_from_s: float = 1e9
) -> list[tuple[float, float]]:
    """Return when each decoded picture was sent, and how old it was when its packet was read.

    From `wrong_from_s` on, the times of the stream are 5 s late, although the pictures are not.
    """
    backlog, now_s, decoded = Backlog(), 0.0, []
    for index in range(DURATION_S * FPS):
        sent_s, is_key = index / FPS, index % key_every == 0
        now_s = max(now_s, network(sent_s))
        if backlog.skips(is_key, round(now_s * NS_PER_S)):
            continue
        age_s = now_s - sent_s
        decoded.append((sent_s, age_s))
        told_s = age_s + (5.0 if sent_s >= wrong_from_s else 0.0)
        backlog.observe(round(told_s * NS_PER_S), round(now_s * NS_PER_S))
        now_s += decode_s
    return decoded


@pytest.mark.parametrize("decode_s", [0.06, 0.1, 0.3])
def test_a_machine_that_decodes_too_slowly_stays_near_the_present(decode_s: float) -> None:
    """Without skipping it would be 12 s and more behind after a minute."""
    decoded = received(decode_s)
    late = [age_s for sent_s, age_s in decoded if sent_s > 10]
    assert max(late) < 2.5
    sent = [sent_s for sent_s, _ in decoded]
    assert max(b - a for a, b in itertools.pairwise(sent)) < 2.5, "it is never without a picture for long"


@pytest.mark.parametrize(
    ("decode_s", "key_every", "network"),
    [(0.01, 10, no_pause), (0.045, 10, no_pause), (0.01, 10, paused), (0.01, 400, paused), (0.06, 400, no_pause)],
    ids=[
        "quick",
        "just quick enough",
        "a pause of the network",
        "the same with rare key pictures",
        "rare key pictures",
    ],
)
def test_nothing_is_skipped(decode_s: float, key_every: int, network: Callable[[float], float]) -> None:
    assert len(received(decode_s, key_every=key_every, network=network)) == DURATION_S * FPS


def test_wrong_times_cost_a_third_of_the_pictures_at_most() -> None:
    decoded = received(0.01, wrong_from_s=20.0)
    assert 1 / 3 * (DURATION_S - 20) * FPS >= DURATION_S * FPS - len(decoded) > 0


def test_an_age_just_above_the_limit_is_no_backlog_while_it_comes_and_goes() -> None:
    backlog = Backlog()
    for index in range(1000):
        now_ns = index * 50 * NS_PER_MS
        assert not backlog.skips(index % 10 == 0, now_ns)
        backlog.observe((300 if index % 15 else 50) * NS_PER_MS, now_ns)
