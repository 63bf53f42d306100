"""The node that follows one: with the changed config, or with the one of before if that cannot be used."""

import gc
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from daemon.cli.run import Nodes, check_reload
from daemon.cli.signals import has_terminal
from daemon.config.command_line import ConfigOptions
from daemon.config.node import Config
from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.core.files import replace_directory
from daemon.core.records import EndedBy
from daemon.node.reload import Reload, reload_remarks
from daemon.node.stop_request import StopRequest
from daemon.node.systemd import Notifier
from daemon.runtime.child_main import Failed
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.clips import write_clip
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.shortages import few_descriptors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle")
    return tmp_path / "config.yaml"


def write(path: Path, node: str = "n", **more: object) -> ConfigOptions:
    settings = {
        "node": node,
        "bundle": "bundle",
        "state_directory": str(path.parent / "state"),
        "streams": {"s": {"replay": {"file": "none.mp4"}}},
        **more,
    }
    path.write_text(yaml.safe_dump(settings))
    return ConfigOptions(str(path))


@pytest.fixture
def nodes(path: Path) -> Nodes:
    choice, stop = write(path), StopRequest()
    return Nodes(choice, stop, Reload(check_reload, choice.to_json()), Notifier(), choice.load(), None)


def after(nodes: Nodes, reason: EndedBy) -> Config | None:
    """Return the config of the node that runs after one that ended for a reason."""
    nodes.stop.begin()
    nodes.stop.restart(reason)
    node = nodes.next()
    return node and node.config


def test_another_bundle_keeps_the_config_and_a_reload_reads_it_again(nodes: Nodes, path: Path) -> None:
    root = logging.getLogger()
    before = root.level
    write(path, "renamed", log_level="error")
    kept, changed = after(nodes, "bundle"), after(nodes, "reload")
    assert kept is not None and kept.node == "n"
    assert changed is not None and (changed.node, root.level) == ("renamed", logging.ERROR)
    root.setLevel(before)
    again = after(nodes, "bundle")
    assert again is not None and again.node == "renamed"


def test_a_reload_uses_a_bundle_that_was_replaced_under_its_name(nodes: Nodes, path: Path) -> None:
    replace_directory(write_bundle(path.parent / "new", version="2.0.0"), path.parent / "bundle")
    nodes.stop.begin()
    nodes.stop.restart("reload")
    node = nodes.next()
    assert node is not None and node.active.recogniser.bundle.manifest.version == "2.0.0"


@pytest.mark.parametrize(("problem", "named"), [({"colour": "red"}, "colour"), ({"bundle": "none"}, "none")])
def test_a_config_that_has_changed_for_the_worse_since_its_check_is_refused(
    nodes: Nodes, path: Path, problem: dict[str, str], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "renamed", **problem)
    config = after(nodes, "reload")
    assert config is not None and config.node == "n"
    assert named in (nodes.reload.problem or "")
    assert "the daemon goes on with the one of before" in caplog.text


def test_without_descriptors_the_next_node_waits_and_nothing_is_refused(nodes: Nodes, path: Path) -> None:
    write(path, "renamed")
    outcomes = []
    while not outcomes or outcomes[-1] != "renamed":
        gc.collect()  # what nodes of before have open would be free in the middle of the attempt
        with few_descriptors(os.getpid(), len(outcomes)):
            try:
                config = after(nodes, "reload")
                outcomes.append("" if config is None else config.node)
            except OSError as error:
                outcomes.append(error.strerror or "")
    assert outcomes[:3] == ["Too many open files"] * 3
    assert set(outcomes) == {"Too many open files", "renamed"}
    assert nodes.reload.problem is None


def test_no_node_follows_once_the_process_is_to_stop(nodes: Nodes) -> None:
    nodes.stop.stop()
    assert after(nodes, "reload") is None


def test_the_check_says_what_is_wrong_and_writes_nothing(path: Path) -> None:
    check_reload(write(path).to_json())
    with pytest.raises(Failed, match="colour"):
        check_reload(write(path, colour="red").to_json())
    root = str(path.parent / "root.json")
    check_reload(write(path, models={"source": "https://models.example.org", "root": root}).to_json())
    assert not (path.parent / "state").exists()


def test_what_stays_behind_is_named(path: Path) -> None:
    old = write(path).load().document
    assert reload_remarks(old, old) == []
    new = write(path, "m", state_directory="/elsewhere").load().document
    node, state = reload_remarks(old, new)
    assert "node n is m now" in node
    assert "in /elsewhere now: events, switches and bundles of" in state


def test_without_any_usable_config_the_process_ends(nodes: Nodes, path: Path) -> None:
    write(path, colour="red")
    for file in (path.parent / "bundle").iterdir():
        if file.is_file():
            file.unlink()
    with pytest.raises(Refused):
        after(nodes, "reload")


@pytest.mark.parametrize(("tty", "expected"), [("0", False), ("34816", True)])
def test_a_terminal_is_found_whatever_the_name_of_the_program_is(tmp_path: Path, tty: str, expected: bool) -> None:
    (tmp_path / "stat").write_text(f"7 (a ) 1 2 3 4 5) S 1 7 7 {tty} -1 4194304\n")
    assert has_terminal(tmp_path / "stat") is expected


def test_a_film_by_options_is_seen_and_heard_by_the_bundle_of_a_name(tmp_path: Path, broker: Mosquitto) -> None:
    topic, config = "perceptd/n/s/recognition", {"node": "n", "bundle": "none", "streams": {"s": {"camera": 7}}}
    # a path is relative to where the command is typed, which is the checkout here
    film = ("--camera", "models/digits/demo/clip.mp4", "--microphone", "camera")
    options = ("--bundle", "digits", *film, "--broker", f"127.0.0.1:{broker.port}")

    def senses() -> list[set[str]]:
        return [set(json.loads(payload)["modalities"]) for payload in subscriber.payloads(topic)]

    with Subscriber(broker, topic) as subscriber, DaemonProcess(config, tmp_path, *options):
        wait_until(lambda: {"image", "audio"} in senses(), "a recognition by both senses")


def test_the_service_manager_gets_the_reason_of_a_failed_start(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("nod: x\n")
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        done = subprocess.run(
            [sys.executable, "-m", "daemon", "run", "--config", str(tmp_path / "config.yaml")],
            cwd=ROOT, env={**os.environ, "NOTIFY_SOCKET": address}, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        status = manager.recv(65_536).decode()
    assert done.returncode == EXIT_REFUSED
    assert status.startswith(f"STATUS={tmp_path}/config.yaml:1: node: is missing {tmp_path}/config.yaml:1: bundle: is")


def test_the_process_ends_without_taking_the_interpreter_apart(path: Path, tmp_path: Path) -> None:
    # that takes seconds on a busy machine, after all is closed
    film = {"file": str(write_clip(tmp_path / "film.mp4")), "pace": "fast", "loop": False}
    write(path, streams={"s": {"replay": film}}, mqtt={"port": 9})
    mark = "import atexit, os; atexit.register(os.write, 1, b'apart')"
    program = f"{mark}; from daemon.cli.main import main; main(['run', '--config', {str(path)!r}])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert done.stderr.rstrip().endswith(b"stopped"), "its log is whole"
    assert not (tmp_path / "state" / "local.sock").exists()
