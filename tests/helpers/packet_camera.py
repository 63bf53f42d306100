"""An RTSP camera in Python whose clock, transports and packets a test controls. It serves on a free loopback port."""

import random
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.helpers.rtp import AUDIO_HZ, VIDEO_HZ, description, picture_packets, sender_report, sound_packet
from tests.helpers.serving import serving

SOUND_S = 0.02
HZ = {"image": VIDEO_HZ, "audio": AUDIO_HZ}

Send = Callable[[str, bool, bytes], None]


@dataclass
class PacketCamera:
    """Sends H.264 key pictures, and G.711 sound with `sound`, in real time.

    Sender reports of `image` come every `report_every_s`, those of `audio` half that time later.
    `clock_s` is by how much the clock of a track's sender reports is wrong. A test may change it at any time.
    `transports` are those that SETUP accepts. Others are answered by 461, or with `answers_udp` as if UDP was asked.
    `setups` are the transports that were asked for and the answers, `pictures` the number of pictures sent.
    `first_timestamps` are the RTP timestamps at the beginning, else random. `is_mute`: nothing is sent after PLAY.
    """

    fps: float = 25.0
    sound: bool = True
    report_every_s: float = 1.0
    transports: tuple[str, ...] = ("tcp",)
    answers_udp: bool = False
    is_mute: bool = False
    first_timestamps: dict[str, int] = field(default_factory=dict)
    clock_s: dict[str, float] = field(default_factory=lambda: {"image": 0.0, "audio": 0.0})
    setups: list[tuple[str, int]] = field(default_factory=list)
    pictures: int = 0

    @property
    def tracks(self) -> list[str]:
        """Return the names of the tracks, in the order of their channels."""
        return ["image", "audio"] if self.sound else ["image"]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve during the block, which gets the URL."""
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _Session(camera, self).serve()

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        with serving(server):
            yield f"rtsp://127.0.0.1:{server.server_address[1]}/camera"


class _Session:
    """One client: answers its requests, and sends from PLAY on until it has gone."""

    def __init__(self, camera: PacketCamera, handler: socketserver.StreamRequestHandler) -> None:
        self._camera = camera
        self._handler = handler
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._ports: dict[str, tuple[int, int]] = {}
        self._udp: dict[bool, socket.socket] = {}

    def serve(self) -> None:
        sender: threading.Thread | None = None
        try:
            while (request := self._read_request()) is not None:
                self._answer(request)
                if request.startswith("PLAY") and not self._camera.is_mute:
                    sender = threading.Thread(target=self._send_all, daemon=True)
                    sender.start()
                if request.startswith("TEARDOWN"):
                    break
        except OSError:
            pass  # the client has gone
        finally:
            self._gone.set()
            if sender:
                sender.join(5)
            for each in self._udp.values():
                each.close()

    def _read_request(self) -> str | None:
        """Return the next request, without the RTCP packets of the client between requests."""
        stream = self._handler.rfile
        while (first := stream.read(1)) == b"$":
            _, length = struct.unpack(">BH", stream.read(3))
            stream.read(length)
        lines = [first + stream.readline()]
        while lines[-1] not in (b"\r\n", b""):
            lines.append(stream.readline())
        return b"".join(lines).decode() if first else None

    def _answer(self, request: str) -> None:
        sequence = re.search(r"CSeq: *(\d+)", request)
        head, body, status = f"CSeq: {sequence.group(1) if sequence else 0}\r\nSession: 1;timeout=60\r\n", "", "200 OK"
        if request.startswith("OPTIONS"):
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
        elif request.startswith("DESCRIBE"):
            body = description(self._camera.tracks)
            head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif request.startswith("SETUP"):
            status, transport = self._set_up(request)
            head += transport
        with self._lock:
            self._handler.wfile.write(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())

    def _set_up(self, request: str) -> tuple[str, str]:
        """Return status and header of the answer to SETUP."""
        name = "audio" if "/audio " in request.splitlines()[0] else "image"
        transport = "tcp" if "RTP/AVP/TCP" in request else "udp"
        answered = transport
        if transport not in self._camera.transports:
            if not self._camera.answers_udp:
                self._camera.setups.append((transport, 461))
                return "461 Unsupported transport", ""
            answered = "udp"
        self._camera.setups.append((transport, 200))
        channel = 2 * self._camera.tracks.index(name)
        if answered == "tcp":
            return "200 OK", f"Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}\r\n"
        found = re.search(r"client_port=(\d+)-(\d+)", request)
        self._ports[name] = (int(found.group(1)), int(found.group(2))) if found else (5000, 5001)
        for is_report in (False, True):
            if is_report not in self._udp:
                self._udp[is_report] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._udp[is_report].bind(("127.0.0.1", 0))
        ports = "-".join(str(self._udp[is_report].getsockname()[1]) for is_report in (False, True))
        client = "-".join(str(port) for port in self._ports[name])
        return "200 OK", f"Transport: RTP/AVP;unicast;client_port={client};server_port={ports}\r\n"

    def _send(self, name: str, is_report: bool, packet: bytes) -> None:
        if name in self._ports:
            self._udp[is_report].sendto(packet, ("127.0.0.1", self._ports[name][is_report]))
            return
        channel = 2 * self._camera.tracks.index(name) + is_report
        with self._lock:
            self._handler.wfile.write(struct.pack(">cBH", b"$", channel, len(packet)) + packet)

    def _send_all(self) -> None:
        """Send everything that falls due, in the order of time."""
        camera = self._camera
        began, wall_s = time.monotonic(), time.time()
        tracks = {name: _Track(camera, name, wall_s, self._send) for name in camera.tracks}
        try:
            while not self._gone.is_set():
                track = min(tracks.values(), key=_Track.due_s)
                if self._gone.wait(max(0.0, began + track.due_s() - time.monotonic())):
                    return
                track.send_next()
        except OSError:
            return  # the client has gone


class _Track:
    """The packets of one track, and when each is due."""

    def __init__(self, camera: PacketCamera, name: str, wall_s: float, send: Send) -> None:
        """`wall_s` is the wall time of PLAY."""
        self._camera, self._name, self._wall_s, self._send_packet = camera, name, wall_s, send
        self._ssrc = random.getrandbits(32)
        self._first = camera.first_timestamps.get(name, random.getrandbits(31))
        self._sequence = random.getrandbits(15)
        self._number = 0
        self._every_s = SOUND_S if name == "audio" else 1 / camera.fps
        self._report_s = camera.report_every_s * (0.75 if name == "audio" else 0.25)

    def due_s(self) -> float:
        """Return when the next packet is due, in seconds after PLAY."""
        return min(self._number * self._every_s, self._report_s)

    def send_next(self) -> None:
        """Send the packet, the packets of a picture, or the sender report that is due next."""
        at_s = self.due_s()
        timestamp = self._first + round(at_s * HZ[self._name])
        if at_s == self._report_s:
            self._report_s += self._camera.report_every_s
            # the scheduled time, because a busy machine sends later
            wall_s = self._wall_s + at_s + self._camera.clock_s[self._name]
            self._send_packet(self._name, True, sender_report(self._ssrc, wall_s, timestamp))
            return
        if self._name == "audio":
            packets = [sound_packet(self._sequence, timestamp, self._ssrc, round(SOUND_S * AUDIO_HZ))]
        else:
            packets = picture_packets(self._number, self._sequence, timestamp, self._ssrc)
            self._camera.pictures += 1
        for packet in packets:
            self._send_packet(self._name, False, packet)
        self._sequence += len(packets)
        self._number += 1
