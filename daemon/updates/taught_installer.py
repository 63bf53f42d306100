"""Installs a taught version stage by stage: check, self-test, switch."""

import logging
from typing import Literal

from daemon.core.errors import UpdateError
from daemon.core.records import UpdateStage
from daemon.updates import taught_transitions as to
from daemon.updates.policy import BuiltInBundle
from daemon.updates.state_file import TaughtFile
from daemon.updates.steps import Beat, Closing, Host
from daemon.updates.taught_state import TaughtCandidate, plain_id, running_id
from daemon.updates.taught_versions import TaughtVersions

# done: it is active, or was withdrawn; refused: it cannot be used; retry: a later attempt may succeed
Outcome = Literal["done", "refused", "retry"]

log = logging.getLogger(__name__)


class TaughtInstaller:
    """Used by the updater's thread. Each stage is on disk before it begins."""

    def __init__(self, file: TaughtFile, versions: TaughtVersions, host: Host, built_in: BuiltInBundle) -> None:
        self._file = file
        self._versions = versions
        self._host = host
        self._built_in = built_in

    def run(self, candidate: TaughtCandidate, base: str, beat: Beat) -> Outcome:
        """Install the candidate up to its probation, where this is the base. Raises Closing when `beat` does."""
        bundle, running = candidate.slot.id, running_id(self._file.state, base)
        if plain_id(bundle) not in (plain_id(running), plain_id(base)):
            log.warning("%s is not installed: %s is active now", bundle, running)
            self._file.update(to.leave(self._file.state, bundle, other_bundle_text(running), self._file.now_s()))
            return "refused"
        log.info("installing %s", bundle)
        try:
            self._install(candidate, base, _CandidateBeat(self._file, beat))
        except _Withdrawn:
            return "done"
        except Closing:
            self._file.update(to.note_shutdown(self._file.state))
            raise
        except (UpdateError, OSError) as error:
            log.error("%s is not installed: %s", candidate.slot.id, error)
            is_final = isinstance(error, UpdateError) and error.kind == "bundle"
            change = to.refuse if is_final else to.put_off
            self._file.update(change(self._file.state, str(error), self._file.now_s()))
            return "refused" if is_final else "retry"
        log.info("%s is on probation", candidate.slot.id)
        return "done"

    def _install(self, candidate: TaughtCandidate, base: str, beat: Beat) -> None:
        slot = candidate.slot
        self._begin("check", beat)
        self._versions.check(candidate.release, beat)
        self._begin("selftest", beat)
        self._versions.selftest(candidate.release, beat)
        self._begin("switch", beat)
        prepared = self._versions.prepare(slot, beat)
        before = self._host.bundle_metrics()
        self._file.save(to.switch(self._file.state, base, self._built_in.id, before, self._file.now_s()))
        prepared.commit()

    def _begin(self, stage: UpdateStage, beat: Beat) -> None:
        beat()
        self._file.save(to.begin_stage(self._file.state, stage, self._file.now_s()))


def other_bundle_text(running: str) -> str:
    """Return why a taught version is not tried where this bundle runs."""
    return f"{running} is active now, and it was fitted onto another bundle"


class _Withdrawn(Exception):
    """The candidate was dropped by a rollback request."""


class _CandidateBeat:
    """Calls `beat`, and raises _Withdrawn once there is no candidate any more. Implements Beat."""

    def __init__(self, file: TaughtFile, beat: Beat) -> None:
        self._file = file
        self._beat = beat

    def __call__(self) -> None:
        self._beat()
        if self._file.state.candidate is None:
            raise _Withdrawn
