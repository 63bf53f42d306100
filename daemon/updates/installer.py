"""Installs a candidate stage by stage, and rolls an active bundle back."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.release import Release
from daemon.core.errors import DamagedBundle, Refused, UpdateError, shortage_behind
from daemon.core.records import UpdateStage
from daemon.updates import transitions
from daemon.updates.policy import BuiltInBundle
from daemon.updates.slots import Slots, check_integrity
from daemon.updates.state import Candidate, Slot, slot_of
from daemon.updates.state_file import StateFile
from daemon.updates.steps import Beat, Host, Steps

log = logging.getLogger(__name__)

KB_PER_MB = 1024


class Installer:
    """Installs candidates; used by one thread. Each stage is on disk before it begins."""

    def __init__(self, state_file: StateFile, slots: Slots, steps: Steps, host: Host, built_in: BuiltInBundle) -> None:
        self._state_file = state_file
        self._slots = slots
        self._steps = steps
        self._host = host
        self._built_in = built_in

    def run(self, candidate: Candidate, beat: Beat) -> bool:
        """Install the candidate up to its probation. Returns False if a later attempt may succeed.

        Raises Closing when `beat` does.
        """
        log.info("installing %s", candidate.id)
        try:
            self._install(candidate, _CandidateBeat(self._state_file, beat))
        except _Withdrawn:
            return True
        except UpdateError as error:
            return self._fail(candidate, error)
        except OSError as error:
            return self._fail(candidate, UpdateError("disk", str(error)))
        log.info("%s is on probation", candidate.id)
        return True

    def _fail(self, candidate: Candidate, error: UpdateError) -> bool:
        state, now_s = self._state_file.state, self._state_file.now_s()
        stage = candidate.stage if state.candidate is None else state.candidate.stage
        log.error("%s is not installed: %s: %s", candidate.id, stage, error)
        is_final = error.kind == "bundle"
        change = transitions.refuse if is_final else transitions.drop
        self._state_file.update(change(state, str(error), now_s))
        return is_final

    def _install(self, candidate: Candidate, beat: Beat) -> None:
        self._begin("resolve", beat)
        self._slots.create()
        release = self._steps.resolve(candidate.name, candidate.version, beat)
        check_memory(release.signed.memory_mb)
        self._download(release, beat)
        slot = self._slots.slot(release.content)
        self._begin("check", beat, release)
        check_memory(release.signed.memory_mb)
        self._steps.check(release, slot, beat)
        self._begin("selftest", beat)
        self._steps.selftest(release, slot, beat)
        self._begin("switch", beat)
        self._switch(release, slot, beat)

    def _download(self, release: Release, beat: Beat) -> None:
        if self._slots.is_intact(release.content, beat):
            return
        self._begin("download", beat, release)
        required = self._state_file.state.required_contents
        self._slots.remove_unused(required)
        download_dir = self._slots.create_download_dir(release.content)
        self._slots.check_room(release, required)
        have = [self._slots.slot(content) for content in sorted(required - {release.content})]
        self._steps.download(release, download_dir, [*have, self._built_in.directory], beat)
        self._begin("verify", beat)
        self._steps.verify(release, download_dir, beat)
        self._slots.promote(release.content)

    def _switch(self, release: Release, directory: Path, beat: Beat) -> None:
        slot = slot_of(release)
        check_integrity(directory, slot.content, beat)
        with guarded_load():
            prepared = self._host.prepare(directory, slot.id)
        beat()  # loading may take long: if the daemon stops meanwhile, nothing is switched
        before = self._host.bundle_metrics()
        state, now_s = self._state_file.state, self._state_file.now_s()
        self._state_file.save(transitions.switch(state, slot, self._built_in.id, before, now_s))
        prepared.commit()

    def _begin(self, stage: UpdateStage, beat: Beat, release: Release | None = None) -> None:
        beat()
        state, now_s = self._state_file.state, self._state_file.now_s()
        self._state_file.save(transitions.begin_stage(state, stage, now_s, release))


class Rollback:
    """Switches back to the previous bundle, or to the built-in one; used by one thread."""

    def __init__(self, state_file: StateFile, slots: Slots, host: Host, built_in: BuiltInBundle) -> None:
        self._state_file = state_file
        self._slots = slots
        self._host = host
        self._built_in = built_in

    def run(self, stage: UpdateStage, reason: str, beat: Beat) -> None:
        """Replace the active bundle, which is refused from now on. Raises Closing when `beat` does.

        The switch comes before the new state is written, because the disk may be read-only or full.
        """
        active, previous = self._state_file.state.active, self._state_file.state.previous
        if active is None:
            return
        log.warning("rolling %s back: %s", active.id, reason)
        try:
            to_built_in = not (previous is not None and self._switch_to_slot(previous, beat))
            if to_built_in:
                self._switch(self._built_in.directory, self._built_in.id, beat)
        except UpdateError as error:
            log.error("%s stays active: no other bundle can run: %s", active.id, error)
            reason = f"{reason}; no other bundle can run: {error}"
            state, now_s = self._state_file.state, self._state_file.now_s()
            self._state_file.update(transitions.keep_active(state, stage, reason, now_s))
            return
        state = transitions.revert(self._state_file.state, stage, reason, self._state_file.now_s())
        self._state_file.update(transitions.revert_to_built_in(state) if to_built_in else state)

    def _switch_to_slot(self, slot: Slot, beat: Beat) -> bool:
        directory = self._slots.slot(slot.content)
        try:
            check_integrity(directory, slot.content, beat)
            self._switch(directory, slot.id, beat)
        except UpdateError as error:
            log.error("%s cannot be used, %s replaces it: %s", slot.id, self._built_in.id, error)
            return False
        return True

    def _switch(self, directory: Path, bundle: str, beat: Beat) -> None:
        with guarded_load():
            prepared = self._host.prepare(directory, bundle)
        beat()  # loading may take long: if the daemon stops meanwhile, nothing is switched
        prepared.commit()


@contextmanager
def guarded_load() -> Iterator[None]:
    """Turns every failure to load a bundle into an UpdateError, mostly of kind bundle.

    Raises OSError where the system lacks descriptors or threads for a moment: the bundle is not to blame.
    """
    try:
        yield
    except Refused as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        if isinstance(error, DamagedBundle):
            raise UpdateError("disk", str(error)) from error
        raise UpdateError("bundle", str(error)) from error
    except MemoryError as error:
        raise UpdateError("memory", "not enough memory to load it") from error
    except Exception as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        log.exception("a bundle could not be loaded")
        raise UpdateError("bundle", f"cannot be loaded: {type(error).__name__}: {error}") from error


def check_memory(needed_mb: int) -> None:
    """Raises UpdateError when less memory than this is available."""
    available_mb = available_memory_mb()
    if needed_mb > available_mb:
        raise UpdateError("memory", f"needs {needed_mb} MB of memory, {available_mb} MB are available")


def available_memory_mb() -> int:
    """The memory that programs can get without swapping; see proc(5)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kb // KB_PER_MB


class _Withdrawn(Exception):
    """The candidate was dropped, by a rollback request or a pin."""


class _CandidateBeat:
    """Calls `beat`, and raises _Withdrawn once there is no candidate any more. Implements Beat."""

    def __init__(self, state_file: StateFile, beat: Beat) -> None:
        self._state_file = state_file
        self._beat = beat

    def __call__(self) -> None:
        self._beat()
        if self._state_file.state.candidate is None:
            raise _Withdrawn
