"""Proxies on loopback: one for TCP whose connections can be cut, and one for HTTP that requires a login."""

import base64
import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes between its clients and a port, and records them in `transmitted`. A context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.transmitted = bytearray()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def admit(self, _near: socket.socket) -> bytes | None:
        """Read from a new client; return the bytes to send to the port first, or None to refuse the client."""
        return b""

    def cut(self) -> None:
        """End every connection at once; bytes in transit are lost."""
        with self._lock:
            ended, self._open = self._open, []
        for end in ended:
            with contextlib.suppress(OSError):
                # RST instead of FIN: bytes in transit are dropped
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def move(self, target: int) -> None:
        """End every connection; further ones lead to another port, as a name that now has another address."""
        self._target = target
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            first = self.admit(near)
            if first is None:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5.0)
                far.sendall(first)
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                near.close()
                continue
            with self._lock:  # from here on they may be cut at any time
                self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                self.transmitted += data
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class HttpProxy(Proxy):
    """Forwards HTTP requests and CONNECT tunnels to the port, whatever host they name.

    Requests without `login` ("user:password") get the status 407. `requests` lists every request line.
    """

    def __init__(self, target: int, login: str) -> None:
        super().__init__(target)
        self._expected = f"Basic {base64.b64encode(login.encode()).decode()}"
        self.requests: list[str] = []

    def url(self, login: str = "") -> str:
        """Return the proxy's URL as in an environment variable; `login` is percent-encoded."""
        return f"http://{login and login + '@'}127.0.0.1:{self.port}"

    def admit(self, near: socket.socket) -> bytes | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = near.recv(65_536)
            if not data:
                return None
            head += data
        request, *lines = head.decode("ascii").split("\r\n")[:-2]
        self.requests.append(request)
        headers = dict(line.split(": ", 1) for line in lines)
        if headers.pop("Proxy-Authorization", None) != self._expected:
            near.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=proxy\r\n"
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return None
        method, url, version = request.split(" ")
        if method == "CONNECT":
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            return b""
        headers["Connection"] = "close"  # only the first request of a connection is forwarded
        forwarded = [
            f"{method} {urlsplit(url).path} {version}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "".join(f"{line}\r\n" for line in [*forwarded, ""]).encode("ascii")
