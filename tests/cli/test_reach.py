"""How watch, send, models, doctor and check-config find their config, and what they say where they may not read it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.check_config import check_config
from daemon.cli.parser import new_parser
from daemon.cli.reach import credential_problem, explained, own_account, reached
from daemon.config.mqtt import MqttConfig
from daemon.config.places import SERVICE_CONFIG, find_config
from daemon.core.errors import EXIT_REFUSED, Refused
from daemon.doctor.service_user import Service
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import Mosquitto

# a user without an account
STRANGER = 54_321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def perceptd(directory: Path, *arguments: str, user: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command in a directory, which is also the home."""
    environment = {**os.environ, "HOME": str(directory), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CONFIG_HOME", None)
    command = [sys.executable, "-m", "daemon", *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False, user=user
    )


@pytest.fixture
def own(tmp_path: Path, broker: Mosquitto) -> Path:
    """A config of a person, in its usual place below the home `tmp_path`."""
    path = tmp_path / ".config" / "perceptd" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n")
    return path


def test_the_own_account_is_taken_and_said_but_not_in_the_json(tmp_path: Path, own: Path, broker: Mosquitto) -> None:
    models = '{"schema":1,"node":"hall","time":"2026-01-31T12:00:10.000000Z","source":null,"active":{"id":"a@1","name":'
    models += '"a","version":"1","shipped":true},"previous":null,"candidate":null,"latest":"1","available":[],'
    models += '"pinned":false,"last_check":null,"last_result":null,"refused":[]}'
    broker.publish("perceptd/hall/models", models.encode(), retain=True)
    done = perceptd(tmp_path, "models", "list", "--node", "hall", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{models}\n", f"using {own}\n")
    local = tmp_path / "config.yaml"
    local.write_text("mqtt: {hots: x}\n")
    done = perceptd(tmp_path, "models", "list", "--node", "hall")
    assert done.returncode == EXIT_REFUSED
    assert done.stderr.startswith(f"using {local}\nconfig.yaml:1: mqtt.hots: unknown key")


@pytest.mark.parametrize("command", [["send", "pause"], ["models", "list"], ["watch"]])
def test_a_node_that_cannot_be_one_is_refused_before_the_broker_is_asked(tmp_path: Path, command: list[str]) -> None:
    is_watch = command == ["watch"]
    options = new_parser().parse_args([*command, "--broker", "localhost", "--node", "#" if is_watch else "+"])
    with pytest.raises(Refused, match=r"^--node"), reached(options, any_node=is_watch):
        pass


def test_what_only_the_service_may_read_needs_sudo() -> None:
    sudo = r"^denied\nOnly root and the service may read it: run this command with sudo\.$"
    with pytest.raises(Refused, match=sudo), explained(SERVICE_CONFIG):
        raise Refused("denied") from PermissionError()
    for config, cause in ((Path("config.yaml"), PermissionError()), (SERVICE_CONFIG, ValueError())):
        with pytest.raises(Refused, match=r"^denied$"), explained(config):
            raise Refused("denied") from cause


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own belong to one user alone."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


class Impostor:
    """Another effective user of this process, for a block: files that only root may read are out of reach."""

    def __enter__(self) -> None:
        os.seteuid(STRANGER)

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)


@needs_root
@pytest.mark.parametrize("closed", ["config.yaml", "password"])
def test_a_file_that_only_the_service_may_read_leads_to_an_account_of_ones_own(public: Path, closed: str) -> None:
    config, password = public / "config.yaml", public / "password"
    config.write_text("node: hall\nmqtt: {username: u, password_file: password}\n")
    password.write_text("secret\n")
    config.chmod(0o644)
    password.chmod(0o644)
    (public / closed).chmod(0o600)
    options = new_parser().parse_args(["send", "pause", "--config", str(config)])
    with Impostor(), pytest.raises(Refused) as error:
        options.execute(options)
    lines = str(error.value).splitlines()
    assert f"{public / closed}: cannot be read: Permission denied" in lines[0]
    assert lines[1:] == ["This user may not read it.", *own_account().splitlines()]


@needs_root
def test_a_file_of_the_own_account_that_another_user_owns_needs_another_owner(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(public))
    config, password = public / "perceptd" / "config.yaml", public / "perceptd" / "password"
    config.parent.mkdir()
    config.write_text("mqtt: {username: u, password_file: password}\n")
    password.touch(0o600)
    options = new_parser().parse_args(["watch", "--config", str(config)])
    with Impostor(), pytest.raises(Refused) as error:
        options.execute(options)
    assert str(error.value).splitlines()[1:] == [
        "It belongs to your own account: make this user its owner, with mode 600."
    ]


@needs_root
def test_a_config_of_the_service_in_a_closed_directory_is_taken_and_one_of_another_user_is_not(public: Path) -> None:
    other, closed = public / "home" / "config.yaml", public / "etc" / "config.yaml"
    for path in (other, closed):
        path.parent.mkdir(0o700)
        path.touch()
    with Impostor():
        assert find_config([public / "config.yaml", other, closed]) == closed


def test_the_password_of_the_service_may_be_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_in = tmp_path / "perceptd.service.d" / "override.conf"
    drop_in.parent.mkdir()
    account = MqttConfig(username="hall")
    assert credential_problem(account, [tmp_path]) is None
    drop_in.write_text("[Service]\nLoadCredential=mqtt-username:/etc/perceptd/user\n")
    assert credential_problem(account, [tmp_path]) is None
    drop_in.write_text("[Service]\nLoadCredentialEncrypted=mqtt-password:/etc/perceptd/password\n")
    found = f"the password of the service's account is a credential ({drop_in}): only the service gets it"
    assert credential_problem(account, [tmp_path]) == found
    assert credential_problem(MqttConfig(username="hall", password_file="p"), [tmp_path]) is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/perceptd.service")
    assert credential_problem(account, [tmp_path]) is None


@needs_root
def test_check_config_refuses_what_the_service_may_not_read(public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, config, password = write_bundle(public / "bundle"), public / "config.yaml", public / "password"
    config.write_text("node: n\nbundle: bundle\nmqtt: {password_file: password}\nstreams: {s: {replay: {file: f}}}\n")
    password.write_text("secret\n")
    for path in (config, bundle, *bundle.rglob("*")):
        path.chmod(0o755)
    (public / "f").touch(0o600)
    password.chmod(0o600)
    options = new_parser().parse_args(["check-config", str(config)])
    service = Service("stranger", STRANGER, STRANGER, ())
    with pytest.raises(Refused) as error:
        check_config(options, service)
    assert str(error.value).startswith(
        f"{config}:3: mqtt.password_file: the service's user stranger may not read {password}; sudo chgrp"
    )
    assert f"{config}:4: streams.s.replay.file: the service's user stranger may not" in capsys.readouterr().err
    password.chmod(0o644)
    assert check_config(options, service) == 0
