"""A person at a terminal, a machine with devices, and the commands that setup runs."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from daemon.config.streams import CameraConfig, StreamConfig
from daemon.setup.commands import LINK_LASTS, Done
from daemon.setup.found import (
    FoundAccelerator,
    FoundBroker,
    FoundCamera,
    FoundMicrophone,
    Level,
    OnePicture,
    SearchFailed,
)

QUIET = [Level(-60.0, -50.0)]
CLAP = [*QUIET * 5, Level(-20.0, -5.0), *QUIET * 8]

GOOD = [{"check": "config", "level": "good", "found": "good", "remedy": None}]
BAD = [{"check": "broker", "level": "failure", "found": "refused the login", "remedy": "correct it"}]


class Person:
    """Answers in the order in which they are given. Fails if there are more questions than answers."""

    def __init__(self, *answers: str) -> None:
        self.remaining = list(answers)
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def ask(self, prompt: str) -> str:
        assert self.remaining, f"nobody answers: {prompt}\n" + "\n".join(self.said[-12:])
        answer = self.remaining.pop(0)
        if answer == "^D":
            raise EOFError
        self.said.append(f"{prompt}{answer}")
        return answer

    def secret(self, prompt: str) -> str:
        assert self.remaining, f"nobody answers: {prompt}"
        self.said.append(prompt)
        return self.remaining.pop(0)

    @property
    def transcript(self) -> str:
        return "\n".join(self.said)


class Machine:
    """What a search finds. `logins` are the user and password that each ONVIF service takes, with its streams."""

    def __init__(
        self,
        cameras: Sequence[FoundCamera] = (),
        microphones: Sequence[FoundMicrophone] = (),
        brokers: Sequence[FoundBroker] = (),
        accelerators: Sequence[FoundAccelerator] = (),
        services: dict[str, tuple[tuple[str, str] | None, list[FoundCamera]]] | None = None,
        *,
        network: bool | None = False,
    ) -> None:
        self.network = network
        self._cameras, self._microphones, self._brokers = list(cameras), list(microphones), list(brokers)
        self._accelerators, self._services = list(accelerators), services or {}
        self.searches = 0
        self.levels: Iterable[Level] = CLAP
        self.picture_of: CameraConfig | None = None

    def cameras(self) -> list[FoundCamera]:
        self.searches += 1
        return self._cameras

    def addresses(self, service: str, login: tuple[str, str] | None) -> list[FoundCamera]:
        expected, streams = self._services[service]
        if login != expected:
            raise SearchFailed("the camera refuses the login", needs_login=True)
        return streams

    def microphones(self) -> list[FoundMicrophone]:
        return self._microphones

    def brokers(self) -> list[FoundBroker]:
        return self._brokers

    def accelerators(self) -> list[FoundAccelerator]:
        return self._accelerators

    def picture(self, camera: CameraConfig) -> OnePicture:
        self.picture_of = camera
        return OnePicture(b"\xff\xd8 a picture \xff\xd9", 640, 480, 0.4)

    @contextmanager
    def sound(self, stream: StreamConfig) -> Iterator[Iterator[Level]]:
        yield iter(self.levels)


class Installed:
    """The commands of perceptd. `findings` are those of doctor, each time it runs; the last ones stay."""

    def __init__(self, *findings: list[dict[str, str | None]]) -> None:
        self._findings = list(findings) or [GOOD]
        self.ran: list[tuple[str, ...]] = []
        self.typed: list[str] = []
        self.refuses_password = 0
        self.link_remark = ""

    def run(self, arguments: Sequence[str], timeout_s: float, *, typed: str = "", shows_errors: bool = False) -> Done:
        self.ran.append(tuple(arguments))
        self.typed.append(typed)
        if "--set-password" in arguments and self.refuses_password:
            self.refuses_password -= 1
            return Done(78, "", "a password has 8 to 1000 characters; nothing was changed\n")
        if "--link" in arguments:
            return Done(0, "http://localhost:8099/link/abc\n", f"{LINK_LASTS}\n{self.link_remark}")
        return Done(0, "")

    def follow(self, arguments: Sequence[str], timeout_s: float, take: Callable[[str], None]) -> Done:
        self.ran.append(tuple(arguments))
        findings = self._findings.pop(0) if len(self._findings) > 1 else self._findings[0]
        lines = ['{"findings": [\n', *(f"{',' if at else ''}{json.dumps(each)}\n" for at, each in enumerate(findings))]
        for line in [*lines, '], "exit_code": 0}\n']:
            take(line)
        return Done(0, "".join([*lines, "]}"]))
