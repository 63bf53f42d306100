"""The taught versions on disk: takes them in, tries them, and lets them run."""

import logging
from pathlib import Path

from daemon.bundle.release import BundleFiles
from daemon.core.errors import UpdateError
from daemon.core.files import remove
from daemon.updates import taught_transitions
from daemon.updates.guarded_load import check_memory, guarded_load
from daemon.updates.slots import MB, Slots, check_integrity
from daemon.updates.state_file import TaughtFile
from daemon.updates.steps import Beat, Host, PreparedSwitch, Steps
from daemon.updates.taught_files import describe, store
from daemon.updates.taught_state import TaughtSlot, TaughtState, taught_slot

log = logging.getLogger(__name__)

# private memory for the models of a bundle, as a multiple of its files
MEMORY_PER_FILE = 4


class TaughtVersions:
    """Used by the updater's thread. Every method may raise UpdateError, and what `beat` raises."""

    def __init__(self, file: TaughtFile, slots: Slots, steps: Steps, host: Host) -> None:
        self._file = file
        self._slots = slots
        self._steps = steps
        self._host = host

    @property
    def state(self) -> TaughtState:
        """The current state."""
        return self._file.state

    def take(self, directory: Path, bundle: str, beat: Beat) -> BundleFiles:
        """Move the directory of a bundle that was taught here into a slot."""
        release = describe(directory, bundle, beat)
        required = self._file.state.required_contents
        self._slots.create_slots()
        if not self._file.is_lost:
            self._slots.remove_unused(required | {release.content})
        if release.content in required and self._slots.is_intact(release.content, beat):
            remove(directory)  # the same bundle is in use
            return release
        self._slots.check_room(release, required)
        store(directory, release, self._slots, beat)
        return release

    def check(self, release: BundleFiles, beat: Beat) -> None:
        """Check that the bundle is what it says and matches the config."""
        check_memory(MEMORY_PER_FILE * release.size // MB)
        self._steps.check(release, self._slots.slot(release.content), beat)

    def selftest(self, release: BundleFiles, beat: Beat) -> None:
        """Run the stored cases of the bundle."""
        self._steps.selftest(release, self._slots.slot(release.content), beat)

    def prepare(self, slot: TaughtSlot, beat: Beat) -> PreparedSwitch:
        """Load a version beside the running bundle."""
        directory = self._slots.slot(slot.content)
        check_integrity(directory, slot.content, beat)
        with guarded_load():
            prepared = self._host.prepare(directory, slot.id)
        beat()  # loading may take long: if the daemon stops meanwhile, nothing is switched
        return prepared

    def activate(self, base: str, beat: Beat) -> bool:
        """Switch to what was taught on a base. Returns False when nothing was, or when it cannot run."""
        while (slot := taught_slot(self._file.state, base)) is not None:
            try:
                self.prepare(slot, beat).commit()
            except UpdateError as error:
                log.error("%s cannot be used: %s", slot.id, error)
                state, now_s = self._file.state, self._file.now_s()
                change = taught_transitions.revert(state, base, "switch", str(error), now_s, is_refused=False)
                self._file.update(change)
            else:
                return True
        return False

    def remove_unused(self) -> None:
        """Remove the slots that nobody needs, unless it is unknown which ones the next start needs."""
        if self._file.has_file and self._file.trouble is None and not self._file.is_lost:
            self._slots.remove_unused(self._file.state.required_contents)
