"""WS-Discovery: what cameras answer in practice, and what other devices and attackers send."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import InputError
from daemon.setup.cameras import network_cameras
from daemon.setup.discovery import MAX_CAMERAS, Announced, announced, discover, probe
from daemon.setup.found import FoundCamera
from daemon.setup.soap import parse, text_of
from tests.helpers.mosquitto import wait_until
from tests.helpers.onvif import OnvifCamera, Stream, onvif_camera
from tests.helpers.ws_discovery import answering_probes, probe_match

SENDER = "10.0.0.7"


@pytest.mark.parametrize(
    ("addresses", "service"),
    [
        ("http://10.0.0.7/onvif/device_service", "http://10.0.0.7/onvif/device_service"),
        (
            "http://169.254.1.2/onvif/services http://10.0.0.7:8000/onvif/services",
            "http://10.0.0.7:8000/onvif/services",
        ),
        ("http://[fe80::4619:b6ff:fe3e:baa1]/o http://10.0.0.7/o", "http://10.0.0.7/o"),
        ("http://10.0.0.7:80/o https://10.0.0.7:443/o", "http://10.0.0.7:80/o"),
        ("\n  http://10.0.0.7/o\n", "http://10.0.0.7/o"),
        # the address of another host is not believed
        ("http://0.0.0.0:8080/o", "http://10.0.0.7:8080/o"),
        ("http://bank.example.org/o", "http://10.0.0.7/o"),
        ("http://user:secret@192.168.0.9:81/o?x=1", "http://10.0.0.7:81/o?x=1"),
        ("/onvif/device_service", "http://10.0.0.7/onvif/device_service"),
        ("", None),
        ("file:///etc/passwd", None),
        ("http://10.0.0.7:99999/o", None),
        ("http://[/o", None),
    ],
)
def test_the_service_is_at_the_host_that_has_answered(addresses: str, service: str | None) -> None:
    found = announced(probe_match(addresses), SENDER)
    assert [each.service for each in found] == ([] if service is None else [service])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Front%20Door", "Front Door DS-2CD2042"),
        ("", "DS-2CD2042"),
        ("%1b%5b31m%0a", "\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER} DS-2CD2042"),
        ("%ff", "\N{REPLACEMENT CHARACTER} DS-2CD2042"),
        ("DS-2CD2042", "DS-2CD2042"),
        ("n" * 500, "n" * 80 + "…"),
    ],
)
def test_the_name_is_what_the_scopes_say(name: str, expected: str) -> None:
    assert announced(probe_match("http://10.0.0.7/o", name), SENDER)[0].name == expected


def test_other_devices_are_no_cameras() -> None:
    printer = probe_match("http://10.0.0.7/p", kind="wsdp:Device").replace(b"onvif://www.onvif.org", b"http://printer")
    assert announced(printer, SENDER) == []
    assert announced(b"<a/>", SENDER) == []
    with pytest.raises(InputError):
        announced(b"M-SEARCH * HTTP/1.1", SENDER)
    with pytest.raises(InputError, match="DTD"):
        announced(b'<!DOCTYPE a [<!ENTITY b "c">]>' + probe_match("http://10.0.0.7/o"), SENDER)


@given(st.text(max_size=80), st.text(max_size=40))
def test_any_text_of_a_camera_gives_a_url_at_its_host(addresses: str, name: str) -> None:
    written = probe_match(addresses.replace("&", "&amp;").replace("<", "&lt;"), name.replace("&", "").replace("<", ""))
    try:
        found = announced(written, SENDER)
    except InputError:
        return
    for each in found:
        assert each.service.startswith(
            (f"http://{SENDER}/", f"https://{SENDER}/", f"http://{SENDER}:", f"https://{SENDER}:")
        )
        assert each.name.isprintable()


def test_a_probe_is_one_of_the_april_2005_discovery() -> None:
    root = parse(probe("urn:uuid:1", 'xmlns:n="http://www.onvif.org/ver10/network/wsdl"', "n:NetworkVideoTransmitter"))
    assert text_of(root, "Action") == "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe"
    assert text_of(root, "Probe", "Types") == "n:NetworkVideoTransmitter"


def test_cameras_that_answer_are_found_once_each() -> None:
    names = [f"urn:uuid:{number}" for number in range(3)]
    good = [probe_match(f"http://127.0.0.1:{port}/o", endpoint=name) for port, name in enumerate(names, 8000)]
    with answering_probes([b"garbage", *good, good[0], b"<!DOCTYPE a><a/>"]) as probed:
        found = discover(probed.network)
        wait_until(
            lambda: probed.probes.count(probed.probes[0]) == 1 and len(probed.probes) >= 4, "each question twice"
        )
    assert found == [
        Announced(name, f"http://127.0.0.1:{port}/o", "Front Door DS-2CD2042") for port, name in enumerate(names, 8000)
    ]


def test_hosts_that_answer_without_end_are_not_read_without_end() -> None:
    many = [probe_match("http://127.0.0.1/o", endpoint=f"urn:{number}") for number in range(MAX_CAMERAS * 2)]
    with answering_probes(many) as probed:
        # ends as soon as there are enough; only a failure takes so long
        assert len(discover(replace(probed.network, listen_s=60.0))) == MAX_CAMERAS


def test_cameras_of_the_network_tell_their_streams_or_want_a_login() -> None:
    streams = [Stream("main", "rtsp://127.0.0.1/1", "H264", 1920, 1080, 25, "G711")]
    with (
        onvif_camera(OnvifCamera(streams)) as open_camera,
        onvif_camera(OnvifCamera(streams, login=("u", "p"))) as closed_camera,
        answering_probes(
            [
                probe_match(open_camera.announced, "Yard", "urn:0"),
                probe_match(closed_camera.announced, "Door", "urn:1"),
            ]
        ) as probed,
    ):
        found = network_cameras(60.0, probed.network)
    assert sorted(found, key=_name) == [
        FoundCamera("", "Door DS-2CD2042", f"127.0.0.1:{closed_camera.port}", True, None, closed_camera.service),
        FoundCamera(
            "rtsp://127.0.0.1/1",
            "Yard DS-2CD2042: main stream",
            "1920x1080 H264 25 fps",
            False,
            True,
            open_camera.service,
        ),
    ]


def _name(camera: FoundCamera) -> str:
    return camera.name
