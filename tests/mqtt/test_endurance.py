"""Events outlive the daemon, its connection and its broker; a campaign takes the numbers of `scripts/bench outbox`."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks import outbox

from tests.helpers.campaign import chance, repetitions, share

pytestmark = pytest.mark.campaign("endurance")

STEPS, RATE = repetitions(600, campaign=10_000), repetitions(250, campaign=500)
"""Of events, and how many in a second."""

SCRIPTS = Path(outbox.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SCRIPTS), *sys.path]))


@pytest.mark.parametrize("spares_disk", share([True, False], 1, "memory"))
def test_every_event_arrives_in_order_though_the_daemon_is_killed_and_its_connection_cut(spares_disk: bool) -> None:
    blows = repetitions(2, campaign=20)
    failures, seed = ["kill"] * blows + ["cut"] * blows, chance("endurance").getrandbits(32)
    outcome = outbox.endure(STEPS, RATE, failures, seed, spares_disk=spares_disk)
    assert outcome.written >= STEPS
    assert (outcome.missing, outcome.remaining) == ([], 0)
    assert (outcome.changed, outcome.out_of_order, outcome.without_end) == (0, 0, 0)


@pytest.mark.parametrize("limit", share(outbox.LIMITS, 1, "limits"))
def test_every_event_arrives_at_a_broker_that_takes_less(limit: str) -> None:
    """Small packets only, no retained messages, or QoS 0 only."""
    steps = repetitions(200, campaign=10_000)
    blows = ["kill"] * repetitions(0, campaign=20) + ["cut"] * repetitions(1, campaign=20)
    outcome = outbox.endure(steps, RATE, blows, chance(limit).getrandbits(32), [limit])
    assert outcome.written >= steps
    assert (outcome.missing, outcome.remaining) == ([], 0)
    assert (outcome.changed, outcome.out_of_order, outcome.without_end) == (0, 0, 0)


def test_nothing_is_lost_but_what_a_killed_broker_had_acknowledged() -> None:
    blows = repetitions(2, campaign=20)
    outcome = outbox.endure(STEPS, RATE, ["broker"] * blows, seed=chance("killed broker").getrandbits(32))
    assert outcome.remaining == 0
    assert (outcome.changed, outcome.out_of_order) == (0, 0)
    # as many as a broker has on their way, each time: what it had acknowledged and not saved yet
    assert len(outcome.missing) <= blows * 20


def test_what_waited_through_an_outage_drains_in_order() -> None:
    assert outbox.drain(repetitions(3000, campaign=36_000)) > 0
