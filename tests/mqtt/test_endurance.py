"""Events outlive the daemon, its connection and its broker; the full numbers are those of `scripts/bench outbox`."""

import os
import sys
from pathlib import Path

import pytest
from benchmarks import outbox

SCRIPTS = Path(outbox.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SCRIPTS), *sys.path]))


def test_every_event_arrives_in_order_though_the_daemon_is_killed_and_its_connection_cut() -> None:
    outcome = outbox.endure(900, 250.0, ["kill"] * 3 + ["cut"] * 3, seed=1)
    assert outcome.written >= 900
    assert (outcome.missing, outcome.left) == ([], 0)
    assert (outcome.changed, outcome.out_of_order, outcome.unended) == (0, 0, 0)


def test_nothing_is_lost_but_what_a_killed_broker_had_acknowledged() -> None:
    outcome = outbox.endure(600, 250.0, ["broker"] * 3, seed=2)
    assert outcome.left == 0
    assert (outcome.changed, outcome.out_of_order) == (0, 0)
    # as many as a broker has on their way, each time: what it had acknowledged and not saved yet
    assert len(outcome.missing) <= 3 * 20


def test_what_waited_through_an_outage_drains_in_order() -> None:
    assert outbox.drain(3000) > 0
