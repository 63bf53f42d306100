"""Answers to WS-Discovery on the loopback interface, as ONVIF cameras send them."""

import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from daemon.setup.discovery import Network

GROUP = "239.255.255.250"
LOOPBACK = socket.if_nametoindex("lo")

MAX_WAIT_S = 30.0

# the answers come within milliseconds; a search waits for others all the same
LISTEN_S = 0.3


@dataclass(frozen=True)
class Probed:
    """Where a search finds what `answering_probes` answers, and the probes that came."""

    network: Network
    probes: list[bytes]


@contextmanager
def answering_probes(answers: Sequence[bytes], port: int | None = None) -> Iterator[Probed]:
    """Answer each WS-Discovery probe on the loopback interface by these datagrams.

    Each test has a port of its own, since a multicast reaches every program of the machine.
    """
    probes: list[bytes] = []
    is_over = threading.Event()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answerer,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # another program may listen on the usual port
        listener.bind((GROUP, port or 0))
        member = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), LOOPBACK)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        answerer.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer_probes, args=(listener, answerer, answers, probes, is_over))
        thread.start()
        try:
            yield Probed(Network((LOOPBACK,), listener.getsockname()[1], LISTEN_S), probes)
        finally:
            is_over.set()
            thread.join(MAX_WAIT_S)


def probe_match(addresses: str, name: str = "Front%20Door", endpoint: str = "urn:uuid:1", kind: str = "") -> bytes:
    """Return an answer to a probe, as cameras write it."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:wsdd="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<SOAP-ENV:Body><wsdd:ProbeMatches><wsdd:ProbeMatch>
<wsa:EndpointReference><wsa:Address>{endpoint}</wsa:Address></wsa:EndpointReference>
<wsdd:Types>{kind or "dn:NetworkVideoTransmitter tds:Device"}</wsdd:Types>
<wsdd:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/hardware/DS-2CD2042
 onvif://www.onvif.org/name/{name}</wsdd:Scopes>
<wsdd:XAddrs>{addresses}</wsdd:XAddrs><wsdd:MetadataVersion>1</wsdd:MetadataVersion>
</wsdd:ProbeMatch></wsdd:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>""".encode()


def _answer_probes(
    listener: socket.socket,
    answerer: socket.socket,
    answers: Sequence[bytes],
    probes: list[bytes],
    is_over: threading.Event,
) -> None:
    while not is_over.is_set():
        if select.select([listener], [], [], 0.02)[0]:
            probe, asker = listener.recvfrom(65_535)
            probes.append(probe)
            for answer in answers:
                answerer.sendto(answer, asker)
