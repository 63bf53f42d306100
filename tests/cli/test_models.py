"""`perceptd models` against a node with fake updates, over a real broker."""

import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.cli import models as models_command
from daemon.cli import models_outcome
from daemon.cli.main import main
from daemon.cli.models_outcome import Patience
from daemon.cli.parser import new_parser
from daemon.cli.render import Narrator
from daemon.config.mqtt import MqttConfig
from daemon.config.node import Config
from daemon.mqtt.session import Session
from daemon.mqtt.subscriber import parse
from daemon.mqtt.update_payloads import ModelsPayload
from daemon.node.command_thread import CommandThread
from daemon.node.control import Control
from daemon.node.switches import SwitchFile
from tests.fakes.updates import Failure, FakeUpdates, bundle, candidate, models, result
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

GOOD: Mapping[str, Failure | None] = {"0.4.0": None, "0.5.0": None, "0.6.0": ("selftest", "case 3: 7 instead of 4")}


ACTIVE: Any = SimpleNamespace(bundle=SimpleNamespace(id="digits@0.4.0"))


class SlowUpdates(FakeUpdates):
    """Begins an installation, which goes on until a rollback is requested."""

    def install(self, name: str | None, version: str | None) -> str | None:
        self._requests.put(partial(self._change, candidate=candidate("resolve", "0.5.0")))
        return None

    def rollback(self) -> str | None:
        given_up = result("0.5.0", "resolve", "a rollback was requested")
        self._requests.put(partial(self._change, candidate=None, last_result=given_up))
        return None


class UpdatingNode:
    """The session and control of a daemon, with fake updates. A context manager."""

    def __init__(
        self,
        broker: Mosquitto,
        source: Mapping[str, Failure | None] | None = GOOD,
        updates: type[FakeUpdates] = FakeUpdates,
    ) -> None:
        self._broker = broker
        self._source = source
        self._updates = updates
        self._stack = ExitStack()

    def __enter__(self) -> "UpdatingNode":
        state = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"node": "node", "bundle": "b", "streams": {"s": {"camera": 0}}}
        self._session = Session(MqttConfig(port=self._broker.port), "node", state)
        updates = self._updates(self._publish, self._source)
        control = Control(Config.model_validate(settings), {}, SwitchFile(state / "switches.json"), ACTIVE, updates)
        commands = CommandThread(control, self._session)
        commands.start()
        self._session.start({}, commands)
        self._stack.callback(self._session.stop, 3.0)
        self._stack.callback(commands.close, 1.0)
        wait_until(lambda: self._session.connected, "connected")
        self._stack.enter_context(updates)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _publish(self, payload: ModelsPayload) -> None:
        """Publish and wait until the payload is sent: the next one would replace a retained payload still queued."""
        before = self._session.status()["published"]
        self._session.publish("models", payload.to_json(), retain=True, qos=1)
        wait_until(lambda: self._session.status()["published"] > before, "published")


@pytest.fixture
def run_models(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs `perceptd models` with arguments; returns its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["models", *arguments, "--broker", f"127.0.0.1:{broker.port}", "--node", "node"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def node(broker: Mosquitto) -> Iterator[UpdatingNode]:
    with Subscriber(broker, "perceptd/node/models") as subscriber, UpdatingNode(broker) as running:
        subscriber.wait_for("perceptd/node/models")
        yield running


RunModels = Callable[..., tuple[int, str, str]]


def test_check_waits_until_the_source_has_been_checked(node: UpdatingNode, run_models: RunModels) -> None:
    assert run_models("check") == (0, "check: good; runs digits@0.4.0; the latest is 0.6.0\n", "")
    code, output, _ = run_models("list")
    assert code == 0
    assert "available   digits@0.6.0\n            digits@0.5.0\n            digits@0.4.0\n" in output


def test_a_failed_check_prints_the_reason(broker: Mosquitto, run_models: RunModels) -> None:
    with UpdatingNode(broker, source=None):
        code, output, _ = run_models("check")
    assert code == 1
    assert output.startswith("check: failed: models.example does not answer; runs digits@0.4.0")


def test_install_prints_each_stage_and_rollback_restores_the_previous_bundle(
    node: UpdatingNode, run_models: RunModels
) -> None:
    code, output, _ = run_models("install", "0.5.0")
    assert code == 0
    stages = ["resolve", "download", "verify", "check", "selftest", "switch", "probation"]
    lines = output.splitlines()
    assert lines[:-1] == [f"digits@0.5.0: {stage}" for stage in stages]
    assert lines[-1].startswith("runs digits@0.5.0")
    assert "on probation" in lines[-1]
    code, output, _ = run_models("rollback")
    assert (code, output) == (0, "runs digits@0.4.0\n")
    assert "digits@0.5.0 in switch: somebody asked for another" in run_models("list")[1]


def test_a_failed_installation_prints_its_stage_and_reason(node: UpdatingNode, run_models: RunModels) -> None:
    code, output, _ = run_models("install", "digits", "0.6.0")
    assert code == 1
    assert output.splitlines()[-1] == "has given up digits@0.6.0 in selftest: case 3: 7 instead of 4"
    assert "refused      digits@0.6.0 in selftest: case 3: 7 instead of 4, 2026-01-31" in run_models("list")[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["install", "0.4.0"], "digits@0.4.0 is active"),
        (["install", "letters"], "the source has no letters"),
        (["install", "../etc"], "version: expected a version like 0.5.0"),
        (["install", "Letters"], "name: expected a name of small letters, digits, _ and -"),
        (["rollback"], "there is no bundle before digits@0.4.0"),
    ],
)
def test_a_refused_command_prints_the_reason(
    node: UpdatingNode, run_models: RunModels, arguments: list[str], reason: str
) -> None:
    code, output, _ = run_models(*arguments)
    assert code == 1
    assert output.startswith(f"models_{arguments[0]}: refused: ")
    assert reason in output
    assert json.loads(run_models(*arguments, "--json")[1])["ok"] is False


def test_pin_and_pin_off(node: UpdatingNode, run_models: RunModels) -> None:
    assert run_models("pin") == (0, "keeps its bundle until somebody asks for another\n", "")
    assert json.loads(run_models("list", "--json")[1])["pinned"] is True
    assert run_models("pin", "--off") == (0, "takes newer bundles again\n", "")
    assert json.loads(run_models("list", "--json")[1])["pinned"] is False


def test_no_wait_returns_after_the_answer(node: UpdatingNode, run_models: RunModels) -> None:
    assert run_models("install", "0.5.0", "--no-wait") == (
        0,
        "models_install: done: it has begun; the topic models shows the rest\n",
        "",
    )


def test_json_prints_the_payload_only(node: UpdatingNode, run_models: RunModels) -> None:
    code, output, _ = run_models("install", "0.5.0", "--json")
    assert code == 0
    assert ModelsPayload.model_validate_json(output).active.id == "digits@0.5.0"


def test_on_a_terminal_one_line_is_rewritten(broker: Mosquitto, node: UpdatingNode) -> None:
    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "daemon", "models", "install", "--broker", f"127.0.0.1:{broker.port}"]
    subprocess.run([*command, "--node", "node", "0.5.0"], cwd=ROOT, stdout=terminal, check=True, timeout=60)
    os.close(terminal)
    output = os.read(reader, 10_000).decode()
    os.close(reader)
    progress, last = output.rstrip("\r\n").rsplit("\n", 1)
    assert "\rdigits@0.5.0: download 50 %\x1b[K\rdigits@0.5.0: download 100 %\x1b[K" in progress
    assert "\n" not in progress
    assert last.startswith("runs digits@0.5.0")


def test_a_node_that_has_published_nothing_is_reported(
    broker: Mosquitto, run_models: RunModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_command, "ANSWER_S", 0.3)
    where = f"node node at 127.0.0.1:{broker.port}"
    for action in ("list", "check"):
        code, output, errors = run_models(action)
        assert (code, output) == (1, "")
        assert errors.startswith(f"{where} has not published its models within 0.3 s")


def test_an_offline_nodes_last_payload_is_shown_and_commands_fail_at_once(
    broker: Mosquitto, run_models: RunModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish("perceptd/node/availability", b"offline", retain=True)
    broker.publish("perceptd/node/models", models().to_json(), retain=True)
    code, output, errors = run_models("list")
    assert code == 0
    assert output.startswith("active      digits@0.4.0 (the config's own)\n")
    assert "is offline; this is what it published last" in errors
    code, output, errors = run_models("rollback")
    assert (code, output) == (1, "")
    assert errors.endswith(" is offline\n")
    broker.publish("perceptd/node/availability", b"online", retain=True)
    monkeypatch.setattr(models_command, "ANSWER_S", 1.0)
    code, output, errors = run_models("rollback")
    assert (code, output) == (1, "")
    assert "no answer from node node" in errors


def test_a_command_that_the_broker_refuses_is_said_without_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite perceptd/node/models\n")
    with Mosquitto(more=[f"acl_file {acl}"]) as broker:
        broker.publish("perceptd/node/models", models().to_json(), retain=True)
        arguments = ["models", "check", "--broker", f"127.0.0.1:{broker.port}", "--node", "node"]
        code = models_command.models(new_parser().parse_args(arguments))
    errors = capsys.readouterr().err
    assert code == 1
    assert errors.startswith("the MQTT broker refused perceptd/node/command/models_check: Not authorized; ")
    assert "models list" not in errors


class SilentUpdates(FakeUpdates):
    """Accepts an installation and never begins it, as if the daemon hung."""

    def install(self, name: str | None, version: str | None) -> str | None:
        return None


QUICK = Patience(idle_s=0.3, stage_s=0.4, offline_s=0.5)


def test_waiting_ends_when_nothing_comes_of_an_accepted_command(
    broker: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["models", "install", "--broker", f"127.0.0.1:{broker.port}", "--node", "node"]
    with UpdatingNode(broker, updates=SilentUpdates):
        code = models_command.models(new_parser().parse_args(arguments), QUICK)
    where = f"node node at 127.0.0.1:{broker.port}"
    expected = "it has accepted the command, and has done nothing for 0.3 s; it runs digits@0.4.0"
    ending = "perceptd models list shows what it published last"
    assert (code, capsys.readouterr().err) == (1, f"{where}: {expected}; {ending}\n")


@pytest.mark.parametrize(
    ("now", "is_offline", "seconds", "word"),
    [
        (models(), False, 0.3, "it has accepted the command, and has done nothing for 0.3 s; it runs digits@0.4.0"),
        (models(candidate=candidate("probation")), False, 0.3, "it has accepted the command"),
        (models(candidate=candidate("verify")), False, 0.4, "nothing new for 0.4 s from digits@0.5.0: verify"),
        (models(candidate=candidate("verify")), True, 0.5, "it has been offline for 0.5 s, and goes on when it starts"),
        (models(), True, 0.5, "it has been offline for 0.5 s, and goes on when it starts again"),
    ],
)
def test_how_long_a_command_waits_and_what_it_says_then(
    now: ModelsPayload, is_offline: bool, seconds: float, word: str
) -> None:
    assert QUICK.seconds(now, is_offline=is_offline) == seconds
    assert models_outcome.last_word(now, seconds, is_offline=is_offline).startswith(word)


def test_a_rollback_during_the_first_installation_ends_it(broker: Mosquitto, run_models: RunModels) -> None:
    with UpdatingNode(broker, updates=SlowUpdates):
        assert run_models("install", "0.5.0", "--no-wait")[0] == 0
        wait_until(lambda: "digits@0.5.0: resolve" in run_models("list")[1], "it installs")
        assert run_models("rollback") == (
            0,
            "has given up digits@0.5.0 in resolve: a rollback was requested; runs digits@0.4.0\n",
            "",
        )


def test_an_unreadable_payload_is_reported(broker: Mosquitto, run_models: RunModels) -> None:
    broker.publish("perceptd/node/models", b'{"schema": 2}', retain=True)
    code, _, errors = run_models("list")
    assert code == 1
    assert "this version cannot read the models of node node at " in errors


@pytest.mark.parametrize(
    ("command_line", "arguments"),
    [
        ((None, None), {}),
        (("digits", None), {"name": "digits"}),
        (("digits", "0.5.0"), {"name": "digits", "version": "0.5.0"}),
        (("0.5.0", None), {"version": "0.5.0"}),
    ],
)
def test_a_version_may_stand_alone(command_line: tuple[str | None, str | None], arguments: dict[str, str]) -> None:
    assert models_command.install_arguments(*command_line) == arguments


@pytest.mark.parametrize(
    ("arguments", "now", "succeeds"),
    [
        ({}, models(latest="0.5.0"), None),
        ({}, models(active=bundle("0.5.0")), True),
        ({}, models(last_result=result("0.5.0", "check", "no")), False),
        ({"version": "0.5.0"}, models(last_result=result("0.5.0", "check", "no")), False),
        # meanwhile the probation of another bundle ends
        ({"version": "0.5.0"}, models(last_result=result("0.3.0")), None),
        ({"name": "letters"}, models(active=bundle("0.3.0"), last_result=result("0.5.0", "probation", "no")), None),
        ({"version": "0.5.0"}, models(active=bundle("0.5.0"), last_result=result("0.3.0")), True),
    ],
)
def test_installed_waits_for_the_requested_bundle(
    arguments: dict[str, str], now: ModelsPayload, succeeds: bool | None
) -> None:
    outcome = models_outcome.installed(arguments, models(), now)
    assert (None if outcome is None else outcome[0]) == succeeds


SHIPPED = {"active": bundle("0.4.0", shipped=True)}
IN_VERIFY = {"candidate": candidate("verify", "0.6.0")}
GAVE_UP = {"last_result": result("0.6.0", "verify", "a rollback was requested")}


@pytest.mark.parametrize(
    ("before", "now", "succeeds"),
    [
        ({}, {"active": bundle("0.4.0")}, True),
        # meanwhile its probation ends with success, and another bundle cannot be installed
        ({}, {"last_result": result("0.5.0")}, None),
        ({}, {"last_result": result("0.6.0", "check", "no")}, None),
        ({}, {"last_result": result("0.5.0", "switch", "there is no other")}, False),
        # another one is being installed: first this ends, then the active one is left
        (IN_VERIFY, IN_VERIFY, None),
        (IN_VERIFY, GAVE_UP, None),
        (IN_VERIFY, GAVE_UP | {"active": bundle("0.4.0")}, True),
        (IN_VERIFY, {"active": bundle("0.6.0"), "candidate": candidate("probation", "0.6.0")}, None),
        # before the first installation there is no bundle to go back to
        (SHIPPED | IN_VERIFY, SHIPPED | IN_VERIFY, None),
        (SHIPPED | IN_VERIFY, SHIPPED | GAVE_UP, True),
        (SHIPPED, SHIPPED | GAVE_UP, True),
        (SHIPPED | IN_VERIFY, {"active": bundle("0.6.0"), "candidate": candidate("probation", "0.6.0")}, None),
        (SHIPPED | IN_VERIFY, SHIPPED | {"last_result": result("0.6.0", "switch", "a rollback was requested")}, True),
    ],
)
def test_rolled_back_waits_for_another_bundle_or_the_end_of_the_first_installation(
    before: dict[str, object], now: dict[str, object], succeeds: bool | None
) -> None:
    running = {"active": bundle("0.5.0")}
    outcome = models_outcome.rolled_back(models(**running | before), models(**running | now))
    assert (None if outcome is None else outcome[0]) == succeeds


def test_watch_prints_each_stage_once(broker: Mosquitto) -> None:
    narrator = Narrator(colour=False, with_node=False)
    with Subscriber(broker, "perceptd/node/models") as subscriber, UpdatingNode(broker) as node:
        del node
        subscriber.wait_for("perceptd/node/models")
        broker.publish("perceptd/node/command/models_install", b'{"version": "0.6.0"}')
        wait_until(lambda: b'"ok":false' in subscriber.payloads("perceptd/node/models")[-1], "given up")
    received = [parse(message.topic, message.payload, False, 0) for message in subscriber.heard]
    lines = [line for each in received if each is not None and (line := narrator.render_news(each)) is not None]
    assert [line.partition("node node  ")[2] for line in lines] == [
        "runs digits@0.4.0",
        *(f"installs digits@0.6.0: {stage}" for stage in ("resolve", "download", "verify", "check", "selftest")),
        "has given up digits@0.6.0 in selftest: case 3: 7 instead of 4",
    ]
