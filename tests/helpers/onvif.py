"""An ONVIF camera on the loopback interface, which lists its streams over SOAP."""

import base64
import hashlib
import http.server
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal

from tests.helpers.logins import digest_of, is_right_digest
from tests.helpers.serving import serving

CHALLENGE = {"realm": "onvif", "nonce": "4e1f", "qop": "auth"}

# as cameras do, which take a time that is a few seconds off
MAX_AGE = timedelta(seconds=5)

SOAP = 'xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:ter="http://www.onvif.org/ver10/error"'
NAMES = (
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" '
    'xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema"'
)

MEDIA_1_PROFILE = """<trt:Profiles fixed="true" token="{token}"><tt:Name>{token} stream</tt:Name>
<tt:VideoSourceConfiguration token="v"><tt:Bounds x="0" y="0" width="1" height="1"/></tt:VideoSourceConfiguration>
<tt:VideoEncoderConfiguration token="e"><tt:Encoding>{codec}</tt:Encoding>
<tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>
<tt:RateControl><tt:FrameRateLimit>{fps}</tt:FrameRateLimit></tt:RateControl></tt:VideoEncoderConfiguration>
{sound}</trt:Profiles>"""
MEDIA_1_SOUND = "<tt:AudioEncoderConfiguration><tt:Encoding>{sound}</tt:Encoding></tt:AudioEncoderConfiguration>"

MEDIA_2_PROFILE = """<tr2:Profiles token="{token}"><tr2:Name>{token} stream</tr2:Name><tr2:Configurations>
<tr2:VideoEncoder token="e"><tt:Encoding>{codec}</tt:Encoding>
<tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>
<tt:RateControl><tt:FrameRateLimit>{fps}.0</tt:FrameRateLimit></tt:RateControl></tr2:VideoEncoder>
{sound}</tr2:Configurations></tr2:Profiles>"""
MEDIA_2_SOUND = "<tr2:AudioEncoder><tt:Encoding>{sound}</tt:Encoding></tr2:AudioEncoder>"


@dataclass(frozen=True)
class Stream:
    """A stream that the camera lists. `url` is what it gives as its address."""

    token: str
    url: str
    codec: str = "H264"
    width: int = 640
    height: int = 360
    fps: int = 15
    sound: str = ""


@dataclass
class OnvifCamera:
    """How the camera behaves. `asked` has the requests that it has answered, `refused` those that lack the login.

    `takes`: the kind of login. `knows`: the media services; a camera with media 1 only does not know GetServices.
    `answers`: bytes by request, which it sends instead. `takes_actions`: requests may have their action in the type.
    """

    streams: Sequence[Stream]
    name: str = "Front%20Door"
    login: tuple[str, str] | None = None
    takes: Literal["token", "digest", "basic"] = "token"
    knows: Literal["media 1", "media 2"] = "media 2"
    clock_ahead: timedelta = timedelta()
    answers: dict[str, bytes] = field(default_factory=dict)
    takes_actions: bool = True
    own_address: str | None = None
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def service(self) -> str:
        """The URL of its service, as a client reaches it."""
        return f"http://127.0.0.1:{self.port}/onvif/device_service"

    @property
    def announced(self) -> str:
        """The addresses that it announces: some that nobody reaches, and its own."""
        return (
            f"http://169.254.7.7:{self.port}/onvif/device_service {self.service} http://[fe80::1]/onvif/device_service"
        )

    def is_logged_in(self, request: str, authorization: str, body: str) -> bool:
        """Return whether the request has the login that the camera wants."""
        if self.login is None or request == "GetSystemDateAndTime":
            return True
        if self.takes == "token":
            return self._is_right_token(body)
        given = digest_of(authorization)
        return is_right_digest(given, "POST", given.get("uri", ""), self.login, challenge={"nonce": "4e1f"})

    def _is_right_token(self, body: str) -> bool:
        fields = [_field(body, name) for name in ("Username", "Nonce", "Created", "Password")]
        user, nonce, created, digest = fields
        if self.login is None or user != self.login[0] or not created:
            return False
        expected = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.login[1].encode()).digest()
        age = self.clock() - datetime.fromisoformat(created.replace("Z", "+00:00"))
        return base64.b64decode(digest) == expected and abs(age) <= MAX_AGE

    def clock(self) -> datetime:
        """Return the time that the camera believes in."""
        return datetime.now(timezone.utc) + self.clock_ahead

    def answer(self, request: str, body: str) -> str:
        """Return the answer's body; empty: the camera does not know the request."""
        address = self.own_address or f"http://127.0.0.1:{self.port}"
        if request == "GetSystemDateAndTime":
            return f"<tds:GetSystemDateAndTimeResponse>{_clock(self.clock())}</tds:GetSystemDateAndTimeResponse>"
        if request == "GetServices" and self.knows == "media 2":
            kinds = ("ver10/device", "device"), ("ver10/media", "media"), ("ver20/media", "media2")
            return "".join(
                f"<tds:Service><tds:Namespace>http://www.onvif.org/{namespace}/wsdl</tds:Namespace>"
                f"<tds:XAddr>{address}/onvif/{path}</tds:XAddr></tds:Service>"
                for namespace, path in kinds
            )
        if request == "GetCapabilities":
            return (
                f"<tds:Capabilities><tt:Device><tt:XAddr>{address}/x</tt:XAddr></tt:Device>"
                f"<tt:Media><tt:XAddr>{address}/onvif/media</tt:XAddr></tt:Media></tds:Capabilities>"
            )
        if request == "GetProfiles":
            return "".join(_profile(stream, "tr2:GetProfiles" in body) for stream in self.streams)
        if request == "GetStreamUri":
            token = _field(body, "ProfileToken")
            url = next((stream.url for stream in self.streams if stream.token == token), "")
            uri = (
                "<tr2:Uri>{}</tr2:Uri>"
                if "tr2:GetStreamUri" in body
                else "<trt:MediaUri><tt:Uri>{}</tt:Uri></trt:MediaUri>"
            )
            return uri.format(url.replace("&", "&amp;"))
        return ""


@contextmanager
def onvif_camera(camera: OnvifCamera) -> Iterator[OnvifCamera]:
    """Serve the camera's ONVIF services during the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.camera = camera
    camera.port = server.server_address[1]
    with serving(server):
        yield camera


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    camera: OnvifCamera


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content in one packet: two would take 40 ms

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        camera = self.server.camera
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        found = re.search(r"<\w+:Body>\s*<\w+:(\w+)", body)
        request = found[1] if found else ""
        if not camera.is_logged_in(request, self.headers.get("Authorization", ""), body):
            camera.refused.append(request)
            self._refuse(camera)
            return
        camera.asked.append(request)
        if not camera.takes_actions and "action=" in self.headers["Content-Type"]:
            self._send(400, fault("env:Sender", "The [action] cannot be processed at the receiver."))
        elif request in camera.answers:
            self._send(200, camera.answers[request])
        elif answer := camera.answer(request, body):
            self._send(200, _envelope(f"<r:{request}Response xmlns:r='urn:r'>{answer}</r:{request}Response>"))
        else:
            self._send(500, fault("ter:ActionNotSupported", "Optional Action Not Implemented"))

    def _refuse(self, camera: OnvifCamera) -> None:
        if camera.takes == "token":
            self._send(400, fault("ter:NotAuthorized", "Sender not Authorized"))
            return
        challenge = ", ".join(f'{name}="{value}"' for name, value in CHALLENGE.items())
        self._send(401, b"", 'Basic realm="onvif"' if camera.takes == "basic" else f"Digest {challenge}")

    def _send(self, status: int, content: bytes, challenge: str | None = None) -> None:
        self.send_response(status)
        if challenge is not None:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def fault(code: str, reason: str) -> bytes:
    """Return a fault of SOAP 1.2."""
    return _envelope(
        f"<env:Fault><env:Code><env:Value>env:Sender</env:Value><env:Subcode><env:Value>{code}</env:Value></env:Subcode>"
        f'</env:Code><env:Reason><env:Text xml:lang="en">{reason}</env:Text></env:Reason></env:Fault>'
    )


def _envelope(body: str) -> bytes:
    return f'<?xml version="1.0"?>\n<env:Envelope {SOAP} {NAMES}><env:Body>{body}</env:Body></env:Envelope>'.encode()


def _profile(stream: Stream, is_media_2: bool) -> str:
    profile, sound = (MEDIA_2_PROFILE, MEDIA_2_SOUND) if is_media_2 else (MEDIA_1_PROFILE, MEDIA_1_SOUND)
    fields = vars(stream) | {"sound": sound.format(sound=stream.sound) if stream.sound else ""}
    return profile.format(**fields)


def _clock(time: datetime) -> str:
    return (
        "<tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType><tt:UTCDateTime><tt:Time>"
        f"<tt:Hour>{time.hour}</tt:Hour><tt:Minute>{time.minute}</tt:Minute><tt:Second>{time.second}</tt:Second></tt:Time>"
        f"<tt:Date><tt:Year>{time.year}</tt:Year><tt:Month>{time.month}</tt:Month><tt:Day>{time.day}</tt:Day></tt:Date>"
        "</tt:UTCDateTime></tds:SystemDateAndTime>"
    )


def _field(body: str, name: str) -> str:
    found = re.search(rf"<\w+:{name}(?: [^>]*)?>([^<]*)<", body)
    return found[1] if found else ""
