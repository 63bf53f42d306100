"""No answer on the local socket, and no line of the log, has a secret of the config."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from daemon.core.errors import LocalError
from daemon.node.local_requests import handlers
from daemon.runtime.local import LocalClient
from tests.helpers.campaign import IS_CAMPAIGN, share
from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.promised import within

pytestmark = pytest.mark.campaign("page-attacks")

# a part of each secret of this config
SECRET = "hunter2"
READY_S = 60.0

# every request of the local socket but `follow`; those of the campaign take long
ASKED: dict[str, dict[str, Any]] = {
    "command": {"name": "describe"},
    "describe": {},
    "topics": {},
    "picture": {"stream": "yard"},
    "history_days": {},
    "history_list": {},
    "history_show": {"event": "e1"},
    "history_file": {"event": "e1", "file": "clip"},
    "history_keep": {"event": "e1", "on": True},
    "history_delete": {"event": "e1"},
    "judge": {"event": "e1", "answer": "wrong"},
    "example_file": {"example": "x", "file": "sound"},
    "config": {},
    "config_check": {"text": ""},
    "reload": {},
    "log": {},
    "doctor": {},
}
LONG = ("config_check", "doctor", "reload", "picture")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    directory = tmp_path_factory.mktemp("secrets")
    token = directory / "token"
    token.write_text(f"{SECRET}-of-metrics\n")
    token.chmod(0o600)
    (directory / "root.json").write_text("{}")
    config: dict[str, Any] = {
        "node": "node",
        "bundle": str(ROOT / "models/digits"),
        "log_level": "debug",
        "mqtt": {"host": "127.0.0.1", "port": 9, "username": "node", "password": f"{SECRET}-of-the-broker"},
        "metrics": {"listen": "127.0.0.1:0", "token_file": "token"},
        "models": {"source": f"http://me:{SECRET}@127.0.0.1:9/", "root": "root.json"},
        "history": {},
        "streams": {
            "yard": {"camera": f"rtsp://me:{SECRET}@127.0.0.1:9/{SECRET}?password={SECRET}", "microphone": "camera"},
            "gate": {"camera": f"http://127.0.0.1:9/{SECRET}/user=me_password={SECRET}_channel=1"},
        },
    }
    with DaemonProcess(config, directory) as daemon:
        client = LocalClient(socket_of(daemon))
        within(READY_S, lambda: "refused" in told(client, "log", {}), "the cameras and the broker were tried")
        yield daemon


def socket_of(daemon: DaemonProcess) -> Path:
    return daemon.config_path.parent / "state" / "local.sock"


def told(client: LocalClient, do: str, arguments: dict[str, Any]) -> str:
    """Return an answer or a refusal as text."""
    try:
        answer = client.ask(do, **arguments)
    except LocalError as error:
        return str(error)
    if answer.descriptor is not None:
        os.close(answer.descriptor)
    return json.dumps(answer.result)


def test_every_request_is_asked() -> None:
    assert list(handlers(Mock(), Mock(), Mock())) == list(ASKED)


@pytest.mark.parametrize("do", [do for do in ASKED if IS_CAMPAIGN or do not in LONG])
def test_no_answer_has_a_secret(running: DaemonProcess, do: str) -> None:
    client = LocalClient(socket_of(running))
    assert SECRET not in told(client, do, ASKED[do])
    assert SECRET not in told(client, do, {**ASKED[do], "more": 1})
    assert SECRET not in running.log


# each takes a second
MISTAKES = share(
    [
        ("node: node", "node: 5"),
        ("password:", "pasword:"),
        ("password: ", "password "),
        ("port: 9", "port: nine"),
        ("rtsp://", "rtps://"),
        ("http://127", "ht tp://127"),
        ("camera:", "camra:"),
        ("source:", "surce:"),
        ("models:", "- models:"),
        ("@127.0.0.1:9/", "@:9/"),
    ],
    1,
    "mistakes in a config",
)


@pytest.mark.parametrize(("right", "wrong"), MISTAKES)
def test_no_problem_of_a_config_has_a_secret(running: DaemonProcess, right: str, wrong: str) -> None:
    text = running.config_path.read_text()
    assert right in text
    answer = told(LocalClient(socket_of(running)), "config_check", {"text": text.replace(right, wrong)})
    assert '"line"' in answer
    assert SECRET not in answer
    assert SECRET not in running.log
