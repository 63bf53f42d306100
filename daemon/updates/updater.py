"""The updater: replaces bundles in its own thread, accepts requests and shows its status."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config.updates import ModelsConfig
from daemon.runtime.heartbeat import DISK_S, IDLE_S, Heartbeat
from daemon.runtime.thread_loop import SYSTEM_ERRORS, LoopThread
from daemon.updates import taught_transitions, transitions
from daemon.updates.cycle import WITHDRAWN_REASON, UpdateCycle
from daemon.updates.messages import SourceRequest
from daemon.updates.policy import active_id, newer_offer
from daemon.updates.probation import ProbationPolicy
from daemon.updates.requests import BaseRequest, PendingRequests, TaughtRequest
from daemon.updates.slots import MB, SLOTS, TAUGHT, Slots
from daemon.updates.startup import Startup
from daemon.updates.state import UpdateState
from daemon.updates.steps import Closing, Host, Runner, Steps
from daemon.updates.taught_cycle import TaughtCycle
from daemon.updates.taught_state import NOTHING_TAUGHT, TaughtState, plain_id, running_id
from daemon.updates.taught_versions import TaughtVersions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The status of the updater.

    `latest` is the version of the newest release that can replace the active bundle, or of the active bundle.
    `bytes_done` is the progress of the latest download.
    `trouble` says why the state cannot be written, and is None if it can. `taught` is what was taught on this device.
    `requested` is the id of a taught version that is to be installed, and is not in that state yet.
    """

    state: UpdateState
    latest: str
    bytes_done: int
    trouble: str | None
    taught: TaughtState = NOTHING_TAUGHT
    requested: str | None = None


class Updater:
    """Replaces bundles. All methods but `close` return at once, and may be called from any thread.

    `check`, `install`, `rollback`, `pin` and `install_local` return None, or why the request is not accepted.
    """

    def __init__(
        self,
        config: ModelsConfig,
        start: Startup,
        runner: Runner,
        host: Host,
        perceptd: str,
        config_path: Path | None = None,
        policy: ProbationPolicy = ProbationPolicy(),  # noqa: B008  (frozen)
    ) -> None:
        """`perceptd` is this program's version, `config_path` the config file that bundles must match.

        Without a source only what is taught on this device replaces a bundle.
        """
        self._built_in, self._perceptd = start.built_in, perceptd
        self._state_file, self._taught_file = start.state_file, start.taught_file
        directory, quota_bytes = start.directory, round(config.quota_mb * MB)
        slots = Slots(directory, quota_bytes, beside=directory / TAUGHT / SLOTS)
        taught_slots = Slots(directory / TAUGHT, quota_bytes, beside=directory / SLOTS)
        origin = None
        if config.source is not None and config.root is not None:
            origin = SourceRequest(
                source=config.source, root=config.root, metadata=str(slots.metadata), perceptd=perceptd
            )
        self._steps = Steps(runner, origin, config_path)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._requests = PendingRequests(start.built_in, perceptd, self._wake.set, has_source=origin is not None)
        versions = TaughtVersions(start.taught_file, taught_slots, self._steps, host)
        taught = TaughtCycle(
            directory, start.state_file, start.taught_file, versions, host, self._requests, start.built_in, policy
        )
        self._cycle = UpdateCycle(
            config,
            start.state_file,
            start.taught_file,
            slots,
            versions,
            taught,
            self._steps,
            host,
            self._requests,
            built_in=start.built_in,
            perceptd=perceptd,
            policy=policy,
            beat=self._beat,
        )
        self._on_change: Callable[[], None] | None = None
        self._shown_bytes = 0
        self.progress = Heartbeat("updater")
        self._thread = LoopThread(self.progress, self._run)

    def start(self, on_change: Callable[[], None]) -> None:
        """Start the thread. It calls `on_change` after every change of the status."""
        self._on_change = on_change
        self._state_file.subscribe(on_change)
        self._taught_file.subscribe(on_change)
        self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """Stop the thread; the next start continues an unfinished installation. Returns whether it ended in time."""
        self._closing.set()
        self._wake.set()
        has_ended = self._thread.join(deadline_s)
        if has_ended:  # the files outlive this node, whose models must not stay in memory
            self._state_file.subscribe(None)
            self._taught_file.subscribe(None)
        return has_ended

    def status(self) -> Snapshot:
        """The current status."""
        requested = self._requests.open_taught  # read first: it is settled once the state has it
        state, taught = self._state_file.state, self._taught_file.state
        offer = newer_offer(state, self._built_in, self._perceptd)
        running = running_id(taught, active_id(state, self._built_in))
        latest = running.partition("@")[2] if offer is None else offer.version
        trouble = self._state_file.trouble or self._taught_file.trouble
        return Snapshot(state, latest, self._steps.bytes_done, trouble, taught, requested)

    @property
    def source_problem(self) -> str | None:
        """Why the latest look at the source failed; None: it did not, or there was none."""
        check = self._state_file.state.last_check
        return None if check is None or check.ok else check.reason or "the source could not be looked at"

    def check(self) -> str | None:
        """Request a check of the source."""
        return self._requests.check(self._state_file.state, self._taught_file.state)

    def install(self, name: str | None = None, version: str | None = None) -> str | None:
        """Request a version; the defaults are the active bundle's name, and the newest version of the name."""
        return self._requests.install(self._state_file.state, self._taught_file.state, name, version)

    def rollback(self) -> str | None:
        """Request a rollback to the previous bundle; the active one is refused from then on."""
        return self._requests.rollback(self._state_file.state, self._taught_file.state)

    def install_local(self, directory: Path, bundle_id: str) -> str | None:
        """Request that a bundle that was taught here becomes active; its directory belongs to the updater then.

        It replaces a taught version that is on probation, and a request before it.
        """
        running = running_id(self._taught_file.state, active_id(self._state_file.state, self._built_in))
        if plain_id(bundle_id) != plain_id(running):
            return f"{bundle_id} was taught on another bundle: {running} is active now"
        self._requests.change_taught(TaughtRequest(directory, bundle_id))
        return None

    def install_base(self) -> None:
        """Request that the base runs, because nothing is taught any more. All taught versions are removed."""
        self._requests.change_taught(BaseRequest())

    def derive_again(self) -> None:
        """Request that a new base that waits for what was taught is tried again: what is taught has changed."""
        self._requests.derive()

    def pin(self, on: bool) -> str | None:
        """Request that the active bundle is replaced on request only, or automatically again."""
        return self._requests.pin(on)

    def _run(self) -> None:
        self.progress.mark(DISK_S)
        try:
            self._cycle.begin()
            while True:
                if not self._round():
                    self._wake.wait(IDLE_S)
                    self._wake.clear()
        except Closing:
            self._state_file.update(transitions.note_shutdown(self._state_file.state))

    def _round(self) -> bool:
        self._beat()
        try:
            return self._cycle.round()
        except Closing:
            raise
        except Exception as error:
            log.exception("the updater has failed, and continues")
            is_system_error = isinstance(error, SYSTEM_ERRORS)
            self._cycle.recover(f"unexpected {type(error).__name__}: {error}", blames_bundle=not is_system_error)
            return False

    def _beat(self) -> None:
        """Called by all long operations of the thread; implements `steps.Beat`."""
        self.progress.mark(DISK_S)
        if self._closing.is_set():
            raise Closing
        state, now_s = self._state_file.state, self._state_file.now_s()
        if (on := self._requests.pop_pin()) is not None:
            self._state_file.update(transitions.pin(state, now_s, on=on))
        state = self._state_file.state
        if self._requests.has_rollback:
            if state.candidate is not None:
                self._state_file.update(transitions.drop(state, WITHDRAWN_REASON, now_s))
            if (taught := self._taught_file.state).candidate is not None:
                self._taught_file.update(taught_transitions.drop(taught, WITHDRAWN_REASON, now_s))
        done = self._steps.bytes_done
        if done != self._shown_bytes and self._on_change is not None:
            self._shown_bytes = done
            self._on_change()
