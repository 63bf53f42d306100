"""Downloads are bounded in size and time, and every error has a text."""

import os
import socket
import time
from pathlib import Path

import pytest

from daemon.core.errors import UpdateError
from daemon.runtime import http
from daemon.runtime.http import TransferError
from daemon.updates.fetch import download as transport
from daemon.updates.fetch.download import Transport
from tests.helpers.certificates import Authority
from tests.helpers.proxy import HttpProxy
from tests.helpers.tufrepo import TufRepo
from tests.helpers.webserver import Fault, WebServer
from tests.updates.fetching import Device

TIMESTAMP = "/metadata/timestamp.json"
MODEL = "/targets/*image.tflite"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GRACE_S", 1.0)
    monkeypatch.setattr(http, "TIMEOUT_S", 0.5)


def check_source_refused(device: Device, words: str) -> str:
    refused = device.refused()
    assert refused.kind == "source", refused
    assert words in str(refused)
    return str(refused)


def check_look_refused(device: Device, words: str) -> str:
    with pytest.raises(UpdateError) as caught:
        device.list_releases()
    assert caught.value.kind == "source"
    assert words in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "fault", "words"),
    [
        (TIMESTAMP, Fault(status=404), "timestamp.json: has no such file (404)"),
        (TIMESTAMP, Fault(status=403), "timestamp.json: refuses access (403)"),
        (TIMESTAMP, Fault(status=401), "timestamp.json: rejects the login (401)"),
        (TIMESTAMP, Fault(status=500), "timestamp.json: the server failed (500)"),
        (TIMESTAMP, Fault(status=418), "timestamp.json: expected 200 (418)"),
        (TIMESTAMP, Fault(status=302), "timestamp.json: expected 200 (302)"),
        (TIMESTAMP, Fault(encoding="gzip"), "timestamp.json: is sent as gzip"),
        (TIMESTAMP, Fault(endless=True), "timestamp.json: sends more than the allowed 16384 bytes"),
        (TIMESTAMP, Fault(cut_after=100), "timestamp.json: the connection was cut"),
        (TIMESTAMP, Fault(length_header=10_000_000), "timestamp.json: the connection was cut"),
        (TIMESTAMP, Fault(length_header=100), "timestamp.json: is not TUF metadata"),
        ("/metadata/2.root.json", Fault(endless=True), "2.root.json: sends more than the allowed 512000 bytes"),
        ("/metadata/2.root.json", Fault(status=503), "2.root.json: the server failed (503)"),
        ("/metadata/*snapshot.json", Fault(endless=True), "snapshot.json: sends more than the allowed"),
        ("/metadata/*targets.json", Fault(status=404), "targets.json: has no such file (404)"),
        (MODEL, Fault(status=404), "image.tflite: has no such file (404)"),
        (MODEL, Fault(status=500), "image.tflite: the server failed (500)"),
        (MODEL, Fault(endless=True), "image.tflite: sends more than the allowed 51200 bytes"),
        (MODEL, Fault(encoding="br"), "image.tflite: is sent as br"),
        (MODEL, Fault(cut_after=30_000), "image.tflite: the connection was cut"),
        (MODEL, Fault(length_header=60_000), "image.tflite: the connection was cut"),
        (MODEL, Fault(chunked=True, cut_after=8192), "image.tflite: the connection was cut"),
    ],
)
def test_faults_of_a_source(device: Device, web: WebServer, path: str, fault: Fault, words: str) -> None:
    web.faults[path] = fault
    check_source_refused(device, words)
    assert not list(device.store.rglob("*image.tflite"))
    assert not list(device.store.rglob(".fetching"))
    web.faults.clear()
    device.fetch()


def test_endless_data_is_not_read(device: Device, web: WebServer) -> None:
    web.faults[TIMESTAMP] = Fault(endless=True)
    device.refused()
    assert web.sent < 20_000_000  # what loopback's buffers hold, not what could have been sent


@pytest.mark.parametrize("path", [TIMESTAMP, MODEL])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(bytes_per_s=200), "bytes were received in"),
        (Fault(slow_headers=True), "nothing was received for"),
        (Fault(silent=True), "has sent nothing for 0.5 s"),
    ],
    ids=["data", "headers", "nothing"],
)
@pytest.mark.usefixtures("impatient")
def test_slow_data(device: Device, web: WebServer, path: str, fault: Fault, words: str) -> None:
    web.faults[path] = fault
    check_source_refused(device, words)


def test_slow_data_within_the_limit(device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GRACE_S", 5.0)
    web.faults[MODEL] = Fault(bytes_per_s=100_000)
    device.fetch()


@pytest.mark.usefixtures("impatient")
def test_a_metadata_file_has_a_time_limit(device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.updates.fetch.tuf_client.METADATA_S", 1.0)
    monkeypatch.setattr(http, "GRACE_S", 60.0)
    web.faults[TIMESTAMP] = Fault(bytes_per_s=100)
    check_source_refused(device, "bytes were received in 1 s")


@pytest.mark.parametrize(("received", "seconds"), [(0, 20), (1000, 21), (1_000_000, 1020)])
def test_the_minimum_throughput(received: int, seconds: float) -> None:
    assert http.allowed_s(received) == seconds
    assert transport.METADATA_S > http.GRACE_S > 0


def test_a_reader_ends_when_its_consumer_stops() -> None:
    ended = []

    def endless() -> object:
        try:
            while True:
                yield b"x"
        finally:
            ended.append(True)

    chunks = http.bounded(endless(), "name", 1000)
    assert next(chunks) == b"x"
    chunks.close()
    for _ in range(100):
        if not ended:
            time.sleep(0.05)
    assert ended


def test_the_time_to_write_a_chunk_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GRACE_S", 0.3)
    pieces = [b"x"] * 6
    received = []
    for chunk in http.bounded((piece for piece in pieces), "name", 6):
        received.append(chunk)
        time.sleep(0.5 if len(received) == 1 else 0.0)
    assert received == pieces


def test_a_missing_source(device: Device) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        device.source = f"http://127.0.0.1:{taken.getsockname()[1]}/models"
        check_source_refused(
            device, "/models/metadata/2.root.json: refuses connections: is a web server running there?"
        )


def test_an_unknown_host(device: Device) -> None:
    device.source = "http://nobody.invalid/models"
    check_source_refused(device, "its host name cannot be resolved")


def test_a_certificate_that_is_not_trusted(repo: TufRepo, device: Device, tmp_path: Path) -> None:
    certificate = Authority(tmp_path).issue("server")
    with WebServer(repo.directory, tls=certificate).serving() as server:
        device.source = server.url
        check_source_refused(device, "its certificate is not trusted here: ")


def test_over_tls(repo: TufRepo, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))  # where OpenSSL looks for the system's
    with WebServer(repo.directory, tls=authority.issue("server")).serving() as server:
        device.source = server.url
        device.fetch()
        server.faults[TIMESTAMP] = Fault(status=302, location=f"http://127.0.0.1:{server.port}{TIMESTAMP}")
        check_look_refused(device, "redirects to http://, which is not followed from here")


def test_a_server_without_http(device: Device, tmp_path: Path, repo: TufRepo) -> None:
    with WebServer(repo.directory, tls=Authority(tmp_path).issue("server")).serving() as server:
        device.source = server.url.replace("https", "http")
        check_source_refused(device, "the connection was cut")


def test_a_redirect_within_the_web_is_followed(repo: TufRepo, device: Device, web: WebServer) -> None:
    with WebServer(repo.directory).serving() as elsewhere:
        path = f"/metadata/{repo.file_name('targets')}"
        web.faults[path] = Fault(status=302, location=f"{elsewhere.url}{path}")
        device.fetch()
        assert elsewhere.requests == [path]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "redirects to file://, which is not followed"),
        ("ftp://127.0.0.1/x", "redirects to ftp://, which is not followed"),
        ("gopher://", "redirects to gopher://, which is not followed"),
        ("http://[::1/", "redirects to an invalid URL"),
        ("http://127.0.0.1:99999/", "redirects to an invalid URL"),
        (TIMESTAMP, "redirects more than 5 times"),
    ],
)
def test_redirects_that_are_not_followed(device: Device, web: WebServer, location: str, words: str) -> None:
    web.faults[TIMESTAMP] = Fault(status=301, location=location)
    check_source_refused(device, words)


@pytest.mark.parametrize(
    ("url", "location", "leads_to"),
    [
        ("https://a/b/c", "d", "https://a/b/d"),
        ("https://a/b", "https://u:p@c/d", "https://c/d"),
        ("http://a/b", "https://c/d", "https://c/d"),
        ("https://a/b", "http://a/b", None),
        ("https://a/b", "//c/d", "https://c/d"),
    ],
)
def test_where_a_redirect_leads(url: str, location: str, leads_to: str | None) -> None:
    if leads_to is None:
        with pytest.raises(TransferError):
            http.redirected(url, location)
    else:
        assert http.redirected(url, location) == leads_to


def test_credentials_are_used_and_never_shown(repo: TufRepo, device: Device, web: WebServer) -> None:
    web.login = "pub:s3cret/@ ŋ"
    plain = device.source
    device.source = plain.replace("://", "://pub:s3cret%2F%40%20%C5%8B@")
    device.fetch()
    device.source = plain.replace("://", "://pub:s3cret-wrong@")
    said = check_look_refused(device, "rejects the login (401)")
    assert "s3cret" not in said


def test_credentials_are_sent_to_their_host_only(repo: TufRepo, device: Device, web: WebServer) -> None:
    device.source = device.source.replace("://", "://user:password@")
    with WebServer(repo.directory).serving() as elsewhere:
        web.faults[TIMESTAMP] = Fault(status=302, location=f"{elsewhere.url}{TIMESTAMP}")
        device.list_releases()
        assert elsewhere.authorizations == [None]
        assert None not in web.authorizations


def test_the_signature_in_a_redirect_is_not_shown(device: Device, web: WebServer) -> None:
    web.faults[TIMESTAMP] = Fault(status=307, location="/elsewhere?signature=s3cret")
    assert "s3cret" not in check_source_refused(device, "/elsewhere: has no such file (404)")


def test_a_proxy_of_the_environment_is_asked(
    repo: TufRepo, device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    monkeypatch.delenv("no_proxy", raising=False)
    device.source = "http://models.invalid"
    check_source_refused(device, "http://models.invalid/metadata/timestamp.json: has no such file (404)")
    assert web.requests == [f"http://models.invalid/metadata/{name}" for name in ("2.root.json", "timestamp.json")]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{taken.getsockname()[1]}")
        check_source_refused(device, "its proxy: refuses connections")
    monkeypatch.setenv("no_proxy", "models.invalid")
    check_source_refused(device, "its host name cannot be resolved")


PROXY_LOGIN = "gate:s3cret/@ ŋ"
PROXY_LOGIN_QUOTED = "gate:s3cret%2F%40%20%C5%8B"


def test_a_proxy_with_a_login(repo: TufRepo, device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    web.login = "pub:own"
    with HttpProxy(web.port, PROXY_LOGIN) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(PROXY_LOGIN_QUOTED))
        device.source = "http://pub:own@models.invalid"
        device.fetch()
        assert f"GET http://models.invalid{TIMESTAMP} HTTP/1.1" in proxy.requests


def test_a_proxy_with_a_login_over_tls(
    repo: TufRepo, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.delenv("no_proxy", raising=False)
    with (
        WebServer(repo.directory, tls=authority.issue("server")).serving() as server,
        HttpProxy(server.port, PROXY_LOGIN) as proxy,
    ):
        monkeypatch.setenv("https_proxy", proxy.url(PROXY_LOGIN_QUOTED))
        device.source = server.url
        device.fetch()
        assert set(proxy.requests) == {f"CONNECT 127.0.0.1:{server.port} HTTP/1.0"}


@pytest.mark.parametrize("login", ["", "gate:s3cret-wrong", "s3cret-user"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_whose_login_is_missing_or_wrong(
    device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch, scheme: str, login: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    with HttpProxy(web.port, PROXY_LOGIN) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url(login))
        device.source = f"{scheme}://models.invalid"
        message = check_source_refused(device, "2.root.json: its proxy: the login is missing or wrong (407)")
        assert "s3cret" not in message
        assert len(proxy.requests) == 1
    assert web.requests == []


@pytest.mark.parametrize(
    "proxy", ["gate:s3cret@127.0.0.1:{}", "http://gate:s3cret/[@127.0.0.1:{}", "socks5://gate:s3cret@127.0.0.1:{}"]
)
def test_the_login_of_a_proxy_is_never_shown(
    device: Device, web: WebServer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", proxy.format(web.port))
    device.source = "http://models.invalid"
    message = check_source_refused(device, "models.invalid")
    assert "gate" not in message
    assert "s3cret" not in message


def test_a_connection_is_used_again(web: WebServer) -> None:
    over = Transport(web.url)
    for _ in range(3):
        over.download_bytes(over.base + "metadata/timestamp.json", 10_000)
    assert len(over._client._pools[None].pools.keys()) == 1


def test_a_directory_is_a_source(repo: TufRepo, device: Device, tmp_path: Path) -> None:
    stick = tmp_path / "a stick"
    repo.directory.rename(stick)
    device.source = stick.as_uri()
    device.fetch()


def test_a_removed_stick(repo: TufRepo, device: Device) -> None:
    device.source = repo.directory.as_uri()
    release = device.resolve()
    repo.directory.rename(repo.directory.with_name("pulled out"))
    with pytest.raises(
        UpdateError, match=r"bundle\.yaml: there is no such file: is its disk mounted and complete\?"
    ) as caught:
        device.download(release)
    assert caught.value.kind == "source"
    check_source_refused(device, "/metadata/timestamp.json: there is no such file: is its disk mounted and complete?")


def test_a_directory_where_a_file_is_expected(repo: TufRepo, device: Device) -> None:
    (repo.metadata / "timestamp.json").unlink()
    (repo.metadata / "timestamp.json").mkdir()
    device.source = repo.directory.as_uri()
    check_source_refused(device, "timestamp.json: cannot be read: Is a directory")


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_hangs(repo: TufRepo, device: Device) -> None:
    (repo.metadata / "timestamp.json").unlink()
    os.mkfifo(repo.metadata / "timestamp.json")  # opening it to read waits for a writer that never comes
    device.source = repo.directory.as_uri()
    check_source_refused(device, "timestamp.json: nothing was received for 1 s")


def test_a_server_without_content_length(device: Device, web: WebServer) -> None:
    web.faults["*"] = Fault(chunked=True)
    device.fetch()


@pytest.mark.parametrize("source", ["http://a..b", "http://" + "x" * 300])
def test_an_impossible_host(device: Device, source: str) -> None:
    device.source = source
    check_source_refused(device, ": cannot be fetched: ")


def test_a_redirect_cannot_hide_the_reason(device: Device, web: WebServer) -> None:
    web.faults[TIMESTAMP] = Fault(status=302, location="/" + "x/" * 200)
    check_source_refused(device, "/x/x...: has no such file (404)")


def test_no_request_is_repeated(device: Device, web: WebServer) -> None:
    web.faults["*"] = Fault(status=500)
    device.refused()
    assert web.requests == ["/metadata/2.root.json"]


def test_only_missing_metadata_is_requested(repo: TufRepo, device: Device, web: WebServer) -> None:
    device.list_releases()
    web.requests.clear()
    device.list_releases()
    assert web.requests == ["/metadata/2.root.json", TIMESTAMP]
