"""A cluster of brokers loses one node after the other: the daemon loses no event and answers every command."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.outbox.store import OutboxStore
from daemon.mqtt.requests import send_request
from tests.helpers.broker_cluster import ADDRESSES, BrokerCluster, ClusterReader
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import wait_until
from tests.helpers.nats import NatsCluster
from tests.helpers.rabbitmq import CHROOT_VARIABLE, RabbitCluster
from tests.node.test_daemon import write_clip

# one process runs all tests of this file: nothing else runs beside them in scripts/test-campaigns
pytestmark = [pytest.mark.campaign("broker-clusters"), pytest.mark.xdist_group("broker-clusters")]

NODE, STREAM = "n", "s"
EVENTS, HEALTH = f"perceptd/{NODE}/{STREAM}/event", f"perceptd/{NODE}/health"

# The nodes that are killed in each run of the daemon. The daemon is killed at the end of each run but the last.
# After the first run the second node of RabbitMQ has retained health of a run that is over.
FIRST, SECOND, THIRD = ADDRESSES
RUNS = [[FIRST], [FIRST, SECOND, THIRD], [FIRST, SECOND, THIRD]] if IS_CAMPAIGN else [[FIRST]]

ANSWER_S = 20.0

# A connection that lasted this long was a working one: the daemon waits only briefly before the next.
STEADY_S = 6.0


class Run:
    """One run of the daemon, as its log and a reader of its topics show it."""

    def __init__(self, daemon: DaemonProcess, cluster: BrokerCluster, reader: ClusterReader) -> None:
        self._daemon, self._cluster, self._reader = daemon, cluster, reader
        wait_until(self.addresses, "the daemon connects")
        self._connected_at = time.monotonic()

    def addresses(self) -> list[str]:
        """Return the addresses of the brokers that the daemon has connected to, the present one last."""
        text = "connected to the MQTT broker at "
        lines = [line.partition(text)[2] for line in self._daemon.log.splitlines() if text in line]
        return [line.partition(":")[0] for line in lines]

    def wait_for_events(self) -> None:
        """Wait until two more events have begun and ended."""
        heard = len(self._reader.payloads(EVENTS))
        wait_until(lambda: len(self._reader.payloads(EVENTS)) >= heard + 4, "more events")

    def survive(self, victim: str) -> float | None:
        """Kill a node of the whole cluster; return how long the daemon was away, or None: not at all."""
        self._cluster.mend()
        if IS_CAMPAIGN:
            wait_until(lambda: time.monotonic() - self._connected_at > STEADY_S, "a steady connection")
        before = self.addresses()
        killed_at = time.monotonic()
        self._cluster.kill(victim)
        away_s = None
        if before[-1] == victim:
            wait_until(lambda: len(self.addresses()) > len(before), "the daemon connects to another node")
            self._connected_at = time.monotonic()
            away_s = self._connected_at - killed_at
        self.wait_for_events()
        self.check_commands(besides=victim)
        return away_s

    def check_commands(self, besides: str) -> None:
        """Send commands through a node that the daemon is not connected to."""
        through = next(address for address in ADDRESSES if address not in (besides, self.addresses()[-1]))
        config = MqttConfig(host=through, port=self._cluster.port)
        for command, arguments in (("pause", {"stream": STREAM}), ("resume", {"stream": STREAM}), ("describe", {})):
            answer = send_request(config, NODE, command, json.dumps(arguments).encode(), ANSWER_S)
            assert answer is not None, f"no answer to {command} through {through}"
            assert answer.ok, f"{command} through {through}: {answer.reason}"


@dataclass(frozen=True)
class Outcome:
    """What a reader received of the events that were written to the outbox, and how long each move took."""

    written: int
    remaining: int
    events: list[dict]
    away_s: list[float]

    @property
    def missing(self) -> list[int]:
        return sorted(set(range(1, self.written + 1)) - {event["sequence"] for event in self.events})

    @property
    def repeated(self) -> int:
        return len(self.events) - len({event["sequence"] for event in self.events})

    @property
    def changed(self) -> list[int]:
        """Return the numbers of events that came again with other content."""
        first: dict[int, dict] = {}
        return [event["sequence"] for event in self.events if first.setdefault(event["sequence"], event) != event]

    @property
    def without_end(self) -> set[str]:
        return {event["id"] for event in self.events} - {e["id"] for e in self.events if e["phase"] == "end"}


def outlive(cluster: BrokerCluster, directory: Path) -> Outcome:
    """Run the daemon while each node of a cluster is killed in turn, and restart it in between."""
    write_bundle(directory / "bundle")
    write_clip(directory / "clip.mp4", 30, passages=[("dark", 20), ("bright", 20)])
    config = {
        "node": NODE,
        "bundle": str(directory / "bundle"),
        "state_directory": str(directory / "state"),
        "mqtt": {"host": list(ADDRESSES), "port": cluster.port, "recognitions": {"publish": "change"}},
        "streams": {
            STREAM: {
                "replay": {"file": str(directory / "clip.mp4"), "loop": True},
                "events": {"smoothing_s": 0, "min_duration_s": 0.1, "update_every_s": 3600},
            }
        },
    }
    away_s: list[float] = []
    with cluster, ClusterReader(cluster, f"perceptd/{NODE}/#") as reader:
        for number, victims in enumerate(RUNS):
            (directory / f"run{number}").mkdir()
            cluster.mend()
            with DaemonProcess(config, directory / f"run{number}") as daemon:
                run = Run(daemon, cluster, reader)
                run.wait_for_events()
                away_s += [away for victim in victims if (away := run.survive(victim)) is not None]
                if victims is RUNS[-1]:
                    assert daemon.stop() == 0
                print(daemon.log)
            assert "another device" not in daemon.log
        store = OutboxStore(directory / "state/outbox.sqlite3")
        written, remaining = store.last_sequence, store.count
        store.close()

        def heard() -> set[int]:
            return {json.loads(payload)["sequence"] for payload in reader.payloads(EVENTS)}

        wait_until(lambda: heard() == set(range(1, written + 1)), f"events 1 to {written}")
        return Outcome(written, remaining, [json.loads(payload) for payload in reader.payloads(EVENTS)], away_s)


def check(outcome: Outcome, within_s: float) -> None:
    print(f"{outcome.written} events, {outcome.repeated} of them twice, away {outcome.away_s}")
    assert (outcome.missing, outcome.remaining, outcome.changed, outcome.without_end) == ([], 0, [], set())
    assert outcome.away_s
    if IS_CAMPAIGN:  # nothing runs beside it
        assert max(outcome.away_s) < within_s


def test_nats_loses_no_event_and_no_command(tmp_path: Path) -> None:
    check(outlive(NatsCluster(), tmp_path), within_s=10.0)


@pytest.mark.skipif(
    CHROOT_VARIABLE not in os.environ,
    reason=f"{CHROOT_VARIABLE} names no Debian 13 system with RabbitMQ; docs/contributing.md says how to make one",
)
def test_rabbitmq_loses_no_event_and_no_command(tmp_path: Path) -> None:
    check(outlive(RabbitCluster(Path(os.environ[CHROOT_VARIABLE])), tmp_path), within_s=2.0)
