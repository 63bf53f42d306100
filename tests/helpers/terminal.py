"""A program at a pseudo-terminal, which is its controlling one: it may read passwords there, and Ctrl-C reaches it."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.helpers.daemon import ROOT

# only a failure takes so long, however busy the machine is
WAIT_S = 60.0


class AtTerminal:
    """A context manager. `shown` is everything that the terminal has shown, without carriage returns."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self._terminal, inner = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=ROOT, stdin=inner, stdout=inner, stderr=inner, env=environment
        )
        os.close(inner)
        self.shown = ""
        self._read_to = 0

    def __enter__(self) -> "AtTerminal":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def expect(self, text: str) -> str:
        """Wait until a text is shown after the one of before; return what was shown up to it."""
        deadline = time.monotonic() + WAIT_S
        while (at := self.shown.find(text, self._read_to)) < 0:
            assert self._read(deadline), f"{text!r} was not shown:\n{self.shown[self._read_to :]}"
        before, self._read_to = self.shown[self._read_to : at], at + len(text)
        return before

    def answer(self, prompt: str, line: str = "") -> None:
        """Wait for a prompt, and type a line."""
        self.expect(prompt)
        os.write(self._terminal, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._terminal, b"\x03")

    def interrupt_until_the_end(self) -> int:
        """Press Ctrl-C, and again each second, until the program ends; return its exit code.

        Python's input() does not hear one that comes just while its prompt appears. A person presses again.
        """
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            self.interrupt()
            again = time.monotonic() + 1
            while self._read(again):
                pass
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(max(0.0, again - time.monotonic()))
        raise AssertionError(f"Ctrl-C does not end the program:\n{self.shown}")

    def wait(self, timeout_s: float | None = None) -> int:
        """Read all that is shown until the program ends; return its exit code."""
        deadline = time.monotonic() + (timeout_s or WAIT_S)
        while self._read(deadline):
            pass
        return self._process.wait(WAIT_S)

    def _read(self, deadline: float) -> bool:
        """Read what is shown next; return False at the end of the program, or at the deadline."""
        if not select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            read = os.read(self._terminal, 65_536)
        except OSError:  # EIO: nobody has the other end open
            return False
        self.shown += read.decode("utf-8", "replace").replace("\r", "")
        return bool(read)


def typed_answers(camera: str, camera_password: str, broker_port: int) -> list[tuple[str, str]]:
    """Return the first prompts of `perceptd setup` with what a person types, up to the password at the broker.

    It is for a node `hall` that watches `door`, with the sound of a camera whose user is `me`.
    """
    return [
        ("on the local network?", "no"),
        ("Name of this device", "hall"),
        ("Name of the place", "door"),
        ("Number", "1"),
        ("Address, device or file", camera),
        ("User of the camera", "me"),
        ("Password of me", camera_password),
        ("Number", ""),
        ("Number", "2"),
        ("Address of the broker", f"127.0.0.1:{broker_port}"),
        ("encrypted (TLS)?", ""),
        ("User name of this node", "hall"),
    ]
