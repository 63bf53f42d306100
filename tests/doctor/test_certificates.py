"""Doctor warns 30 days before a certificate expires: of the config's files, and of the broker's own."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from daemon.config.node import load_config
from daemon.doctor.certificates import Validity, assess, certificate_findings, validity_of
from tests.helpers.certificates import Authority

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("begins", "ends", "level", "text"),
    [
        (-10 * DAY, 31 * DAY, None, ""),
        (-10 * DAY, 30 * DAY, "warning", "here: expires on 2026-07-01, in 30 days"),
        (-10 * DAY, 1.5 * DAY, "warning", "in 1 day"),
        (-10 * DAY, timedelta(hours=1), "warning", "in 0 days"),
        (-10 * DAY, timedelta(0), "failure", "here: expired on 2026-06-01"),
        (-10 * DAY, -400 * DAY, "failure", "expired on 2025-04-27"),
        (DAY, 400 * DAY, "failure", "valid from 2026-06-02 on, and this machine's clock says 2026-06-01"),
    ],
)
def test_what_is_said_of_a_certificate(begins: timedelta, ends: timedelta, level: str | None, text: str) -> None:
    found = assess(Validity("here", NOW + begins, NOW + ends, "renew it"), NOW)
    assert (None if found is None else found.level) == level
    assert found is None or text in found.found


def test_of_a_chain_each_counts_and_of_authorities_one_is_enough(authorities: tuple[bytes, bytes]) -> None:
    short, long = authorities
    each = [validity_of("", pem, "", is_chain=True) for pem in authorities]
    assert each[0].ends < each[1].ends
    assert validity_of("", short + long, "", is_chain=True).ends == each[0].ends
    assert validity_of("", short + long, "", is_chain=False).ends == each[1].ends
    with pytest.raises(ValueError, match="PEM"):
        validity_of("", b"no certificate", "", is_chain=True)


def test_the_files_of_the_config_and_the_broker_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    with _tls_server(certificate, key) as port:
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(_settings(authority, certificate, key, port)))
        loaded = load_config(config)
        now = datetime.now(timezone.utc)
        soon = list(certificate_findings(loaded, now))
        late = list(certificate_findings(loaded, now + 3 * DAY))
    names = [f"{loaded.where('mqtt', 'tls', 'ca_file')}", f"{loaded.where('mqtt', 'tls', 'certificate_file')}"]
    names += [f"the MQTT broker 127.0.0.1:{port}", f"{loaded.where('page', 'certificate_file')}"]
    assert [finding.found.partition(": expire")[0] for finding in soon] == names
    assert {finding.level for finding in soon} == {"warning"}
    assert {finding.level for finding in late} == {"failure"}


def test_where_all_are_good_one_line_says_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path, days="400")
    settings = {"mqtt": {"port": 1, "tls": {"ca_file": str(authority.ca_file)}}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(_minimal() | settings))
    (found,) = certificate_findings(load_config(config), datetime.now(timezone.utc))
    assert found.level == "good"
    assert found.found.startswith("1 checked; the first expires on ")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Two authorities, of which the second is valid for longer."""
    directory = tmp_path_factory.mktemp("authorities")
    made = Authority(directory, "short"), Authority(directory, "long", days="400")
    return made[0].ca_file.read_bytes(), made[1].ca_file.read_bytes()


def _minimal() -> dict:
    return {"node": "node", "bundle": ".", "streams": {"front": {"camera": {"device": 0}}}}


def _settings(authority: Authority, certificate: Path, key: Path, port: int) -> dict:
    tls = {"ca_file": str(authority.ca_file), "certificate_file": str(certificate), "key_file": str(key)}
    page = {"certificate_file": str(certificate), "key_file": str(key)}
    return _minimal() | {"mqtt": {"host": "127.0.0.1", "port": port, "tls": tls}, "page": page}


@contextmanager
def _tls_server(certificate: Path, key: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_serve, args=(listener, context))
        server.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _address = listener.accept()
        except OSError:  # the test has ended
            return
        with connection, context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)
