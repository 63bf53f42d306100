"""Updates of bundles that do not exist, with all stages, on a thread; and parts of the payload `models`."""

import queue
import threading
from collections.abc import Callable, Mapping

from daemon.core.records import UPDATE_STAGES, UpdateStage
from daemon.mqtt.update_payloads import BundlePart, CandidatePart, CheckPart, ModelsPayload, ResultPart, without_updates

TIME = "2026-01-31T12:00:04.300110Z"
SIZE = 1000

# the stage in which a bundle fails, and the reason
Failure = tuple[UpdateStage, str]


def bundle(version: str, name: str = "digits", *, shipped: bool = False) -> BundlePart:
    return BundlePart(id=f"{name}@{version}", name=name, version=version, shipped=shipped)


def candidate(stage: UpdateStage, version: str = "0.5.0", done: int = 0, total: int = SIZE) -> CandidatePart:
    parts = {"id": f"digits@{version}", "name": "digits", "version": version, "since": TIME}
    return CandidatePart(**parts, stage=stage, bytes_done=done, bytes_total=total)


def result(version: str, stage: UpdateStage = "probation", reason: str | None = None, time: str = TIME) -> ResultPart:
    return ResultPart(bundle=f"digits@{version}", ok=reason is None, stage=stage, reason=reason, time=time)


def models(**changes: object) -> ModelsPayload:
    """Return the payload of a node that runs its built-in bundle digits@0.4.0 and has a source."""
    source = {"source": "https://models.example/repo", "available": ["digits@0.4.0"]}
    return without_updates("node", "digits", "0.4.0", TIME).model_copy(update=source | changes)


class FakeUpdates:
    """Implements the port `Updates`. `publish` publishes a payload, and returns when it has been sent.

    `source` maps the versions of digits to their failures (None: it succeeds). Without a source the check fails.
    """

    def __init__(self, publish: Callable[[ModelsPayload], None], source: Mapping[str, Failure | None] | None) -> None:
        self._publish, self._source = publish, source
        self._now = models()
        self._tick = 0
        self._requests: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="fake-updates")

    def __enter__(self) -> "FakeUpdates":
        self._thread.start()
        self._requests.put(lambda: self._change())
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._thread.join()

    def check(self) -> str | None:
        self._requests.put(self._check)
        return None

    def install(self, name: str | None, version: str | None) -> str | None:
        if name not in (None, "digits"):
            return f"the source has no {name}"
        requested = version or max(self._source or {"0.4.0": None})
        if requested == self._now.active.version:
            return f"digits@{requested} is active"
        self._requests.put(lambda: self._install(requested))
        return None

    def rollback(self) -> str | None:
        if self._now.active.shipped:
            return "there is no bundle before digits@0.4.0"
        self._requests.put(self._go_back)
        return None

    def pin(self, on: bool) -> str | None:
        self._requests.put(lambda: self._change(pinned=on))
        return None

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _change(self, **changes: object) -> None:
        self._now = self._now.model_copy(update=changes)
        self._publish(self._now)

    def _check(self) -> None:
        if self._source is None:
            self._change(last_check=CheckPart(ok=False, reason="models.example does not answer", time=self._time()))
            return
        available = [f"digits@{version}" for version in sorted(self._source, reverse=True)]
        check = CheckPart(ok=True, reason=None, time=self._time())
        self._change(last_check=check, available=available, latest=max(self._source))

    def _install(self, version: str) -> None:
        failure = (self._source or {}).get(version)
        for stage in UPDATE_STAGES:
            switched = {"active": bundle(version), "previous": self._now.active} if stage == "probation" else {}
            for done in (0, SIZE // 2, SIZE) if stage == "download" else (SIZE,):
                self._change(candidate=candidate(stage, version, done), **switched)
            if failure is not None and stage == failure[0]:
                refusal = result(version, *failure, time=self._time())
                self._change(candidate=None, last_result=refusal, refused=[*self._now.refused, refusal])
                return
        self._change(candidate=None, last_result=result(version, time=self._time()))

    def _go_back(self) -> None:
        rolled_back = result(self._now.active.version, "switch", "somebody asked for another", self._time())
        self._change(
            active=bundle("0.4.0", shipped=True), previous=None, last_result=rolled_back, refused=[rolled_back]
        )

    def _time(self) -> str:
        self._tick += 1
        return f"2026-01-31T12:00:{self._tick % 60:02d}.000000Z"
