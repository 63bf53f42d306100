"""A bundle that was taught here: tried in real child processes, and run by a daemon that has no source."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import UpdateError
from daemon.node.bundle_updates import UPDATE_STEPS
from daemon.updates import taught_transitions as to
from daemon.updates.slots import Slots
from daemon.updates.startup import STATE_FILE
from daemon.updates.state import BundleMetrics
from daemon.updates.state_file import TaughtFile
from daemon.updates.steps import ChildRunner, Steps
from daemon.updates.taught_versions import TaughtVersions
from tests.fakes.bundle_host import FakeHost
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.taught import on_streams, teach
from tests.node import test_daemon
from tests.node.test_daemon import parsed

Config = Callable[..., dict]
config, material = test_daemon.config, test_daemon.material

BASE, TAUGHT = "brightness@1.2.3", "brightness@1.2.3+taught.1"
BEFORE = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)


@pytest.fixture
def settings(config: Config, request: pytest.FixtureRequest) -> dict:
    return config(request.node.name[:60].replace("[", "-").replace("]", ""))


@pytest.fixture
def draft(tmp_path: Path, settings: dict) -> Path:
    """The directory of a bundle that was taught."""
    target = tmp_path / "draft"
    teach(Path(settings["bundle"]), target, {"kettle boils": on_streams("s")}, version="1.2.3+taught.1")
    return target


class Store:
    """The taught versions of a node."""

    def __init__(self, state: Path) -> None:
        directory = state / "models/taught"
        self.file = TaughtFile(directory / STATE_FILE, lambda: 1_790_000_000.0)
        steps = Steps(ChildRunner(UPDATE_STEPS), None, None)
        self.versions = TaughtVersions(self.file, Slots(directory, 10**8), steps, FakeHost(BASE))

    def put(self, draft: Path) -> None:
        """Let the bundle in a directory run from the next start on."""
        release = self.versions.take(draft, TAUGHT, nothing)
        state = to.begin_install(self.file.state, BASE, release, 0.0)
        self.file.save(to.confirm(to.switch(state, BASE, BASE, BEFORE, 0.0), BASE, 0.0))


def nothing() -> None: ...


def test_a_taught_bundle_is_tried_in_child_processes(tmp_path: Path, draft: Path) -> None:
    store = Store(tmp_path / "state")
    release = store.versions.take(draft, TAUGHT, nothing)
    store.versions.check(release, nothing)
    store.versions.selftest(release, nothing)


def test_a_taught_bundle_that_computes_something_else_is_refused(tmp_path: Path, draft: Path) -> None:
    with np.load(draft / "taught.npz") as cases:
        np.savez(draft / "taught.npz", features=cases["features"], scores=1 - cases["scores"])
    store = Store(tmp_path / "state")
    release = store.versions.take(draft, TAUGHT, nothing)
    with pytest.raises(UpdateError) as caught:
        store.versions.selftest(release, nothing)
    assert caught.value.kind == "bundle"


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


def command(broker: Mosquitto, node: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    reach = ("--broker", f"127.0.0.1:{broker.port}", "--node", node)
    run = [sys.executable, "-m", "daemon", "models", *arguments, *reach]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_without_a_source_a_taught_bundle_runs_and_can_be_rolled_back(
    tmp_path: Path, settings: dict, draft: Path, broker: Mosquitto
) -> None:
    state = tmp_path / "state"
    Store(state).put(draft)
    node = settings["node"]
    with Subscriber(broker, f"perceptd/{node}/#") as subscriber, DaemonProcess(settings, tmp_path) as daemon:
        wait_until(lambda: parsed(subscriber.heard, "recognition"), "it recognises")
        models = parsed(subscriber.heard, "models")[-1]
        assert models["source"] is None
        assert models["active"] == {
            "id": TAUGHT,
            "name": "brightness",
            "version": "1.2.3+taught.1",
            "shipped": False,
            "taught": True,
        }
        assert models["previous"]["id"] == BASE and models["previous"]["shipped"]
        wait_until(lambda: parsed(subscriber.heard, "teaching"), "it tells what it was taught")
        assert "1 label has lost its examples" in parsed(subscriber.heard, "teaching")[-1]["text"]
        for refused in (("check",), ("install",), ("pin",)):
            done = command(broker, node, *refused)
            assert (done.returncode, "models.source in config.yaml is not set" in done.stdout) == (1, True)
        done = command(broker, node, "rollback")
        assert (done.returncode, done.stdout) == (0, f"runs {BASE}\n")
        assert "models.source in config.yaml is not set" in command(broker, node, "rollback").stdout
        assert daemon.stop() == 0
