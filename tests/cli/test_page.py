"""`perceptd page`: serving in the foreground, and what it changes about users and about systemd's socket."""

import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from daemon.cli.main import main
from daemon.cli.page_accounts import accounts_in, change_accounts
from daemon.cli.page_listen import link_remark, listen_at, listens_at
from daemon.cli.page_places import places_of
from daemon.cli.parser import parse
from daemon.core.errors import Refused
from daemon.web.accounts import Accounts
from daemon.web.listening import address_of, passed_sockets
from tests.fakes.local_daemon import FakeDaemon
from tests.helpers.ports import free_port

MOST_PSS_KB = 45 * 1024
STREAMS = {"door": {"camera": {"device": "/dev/video0"}}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"node": "hall", "bundle": "b", "state_directory": ".", "streams": STREAMS}))
    return path


def test_a_page_in_the_foreground_is_small_and_its_link_logs_in(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "daemon", "page", "--config", str(config), "--listen", "127.0.0.1:0"]
    with (
        FakeDaemon(tmp_path / "local.sock").serving(),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("the page is at http://localhost:")
        assert main(["page", "--config", str(config), "--link"]) == 0
        link = capsys.readouterr().out.strip()
        assert link.startswith(line.split()[4].rstrip(";"))
        with pytest.raises(OSError, match="401") as refused:
            urlopen(f"{link}x")
        refused.value.close()  # type: ignore[attr-defined]
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        pss_kb = next(int(each.split()[1]) for each in rollup.splitlines() if each.startswith("Pss:"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert pss_kb < MOST_PSS_KB
    assert not (tmp_path / "page" / "address").exists()


def test_a_password_and_a_token_and_their_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*options: str) -> tuple[int, str, str]:
        with accounts_in(tmp_path / "page") as changed:
            code = change_accounts(parse(["page", *options]), changed, "http://localhost:8099/")
        return code, *capsys.readouterr()

    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    with pytest.raises(Refused, match="a password has 8 to 1000 characters; nothing was changed"):
        run("--set-password")
    monkeypatch.setattr(sys, "stdin", io.StringIO("only looking\n"))
    assert run("--set-password", "--role", "viewer")[0] == 0
    accounts = Accounts(tmp_path / "page")
    assert accounts.role_by_password("only looking") == "viewer"
    code, token, error = run("--token", "board")
    assert (code, accounts.role_by_token(token.strip())) == (0, "owner")
    assert "Authorization: Bearer" in error
    assert run("--revoke", "bord") == (1, "", "there is no token bord; there are: board (owner)\n")
    assert run("--revoke", "board")[0] == 0
    accounts.begin_session("owner", "127.0.0.1")
    assert run("--logout-all") == (0, "ended sessions: 1\n", "")
    with pytest.raises(Refused, match="--token: expected a name"):
        run("--token", "a b")


def test_a_page_is_not_opened_to_the_network_without_a_password(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["page", "--config", str(config), "--listen", "0.0.0.0"]) == 78
    assert "without a password: perceptd page --set-password" in capsys.readouterr().err


def test_a_config_with_an_error_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("nod: x\n")
    assert main(["page", "--config", str(path), "--link"]) == 78
    assert f"{path}:1: nod: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0", ("0.0.0.0", 8099)),
        ("192.168.1.20:80", ("192.168.1.20", 80)),
        ("::", ("::", 8099)),
        ("[::1]:8100", ("::1", 8100)),
        ("[fe80::1]", ("fe80::1", 8099)),
    ],
)
def test_addresses_to_listen_at(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "node.lan", "1.2.3", "1.2.3.4:", "1.2.3.4:70000", "[::1", "1.2.3.4\nUser=root"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="expected an address of this machine"):
        address_of(text)


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """A program that notes its arguments."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    program.chmod(0o755)
    return program


def test_listening_elsewhere_writes_a_drop_in_and_the_default_removes_it(tmp_path: Path, systemctl: Path) -> None:
    units = tmp_path / "units"
    assert listens_at(units) == ("127.0.0.1", 8099)
    listen_at("::", 8100, units, str(systemctl))
    drop_in = units / "perceptd-page.socket.d" / "listen.conf"
    assert "\n[Socket]\nListenStream=\nListenStream=[::]:8100\n" in drop_in.read_text()
    assert drop_in.stat().st_mode & 0o777 == 0o644
    assert listens_at(units) == ("::", 8100)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["daemon-reload", "stop perceptd-page.service", "restart perceptd-page.socket"]
    listen_at("127.0.0.1", 8099, units, str(systemctl))
    assert not drop_in.parent.exists()
    assert listens_at(units) == ("127.0.0.1", 8099)


def test_what_systemctl_refuses_is_told(tmp_path: Path) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(Refused, match=r"daemon-reload failed: Access denied; the page listens nowhere now: systemctl"):
        listen_at("127.0.0.1", 8100, tmp_path, str(program))


def test_a_link_that_leads_to_another_program_comes_with_a_remark(tmp_path: Path, systemctl: Path) -> None:
    port = free_port()
    listen_at("127.0.0.1", port, tmp_path, str(systemctl))
    systemctl.write_text("#!/bin/sh\nexit 3\n")
    assert "perceptd-page.socket does not listen: is perceptd" in (link_remark(tmp_path, str(systemctl)) or "")
    with socket.create_server(("127.0.0.1", port)):
        remark = link_remark(tmp_path, str(systemctl)) or ""
    assert remark.startswith(f"but the page cannot listen on 127.0.0.1:{port}: Address already in use.")
    assert "sudo perceptd page --listen" in remark


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_read_the_config_is_told_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.touch(0o600)
    tmp_path.chmod(0o700)
    os.seteuid(1234)
    try:
        with pytest.raises(Refused, match=r"config.yaml: cannot be read: Permission denied\nThis user may not read it"):
            places_of(config)
        with pytest.raises(Refused, match="Only root and the service may read it: run this command with sudo"):
            places_of(config, service=config)
    finally:
        os.seteuid(0)


def test_where_another_program_listens_the_page_stays_where_it_was(tmp_path: Path, systemctl: Path) -> None:
    units = tmp_path / "units"
    listen_at("127.0.0.2", 8100, units, str(systemctl))
    before = (units / "perceptd-page.socket.d" / "listen.conf").read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        # systemctl fails while the drop-in names that port, and does not say why
        systemctl.write_text(f"#!/bin/sh\n! grep -rqs 127.0.0.1:{port} {units} || test $1 != restart\n")
        reason = (
            rf"the page cannot listen on 127\.0\.0\.1:{port}: Address already in use; it stays at 127\.0\.0\.2:8100"
        )
        with pytest.raises(Refused, match=reason):
            listen_at("127.0.0.1", port, units, str(systemctl))
    assert (units / "perceptd-page.socket.d" / "listen.conf").read_text() == before
    assert link_remark(units, str(systemctl)) is None


def test_sockets_of_another_process_are_not_taken() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert passed_sockets(environment) == []
    assert environment == {"HOME": "/"}, "no child process takes them either"
    with pytest.raises(Refused, match="LISTEN_FDS=none"):
        passed_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "none"})
