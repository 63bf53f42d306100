"""The errors of the program, grouped by what the caller does next.

PerceptdError
├── Refused            The operator must change something. Report what and where; exit code 78.
│   ├── DocumentError  A line of config.yaml or bundle.yaml is wrong.
│   ├── BundleError    Files of a bundle are missing or do not match each other.
│   │                  DamagedBundle: a file differs from what was installed.
│   └── ModelError     A .tflite file cannot be loaded or run. MismatchError: its tensors differ from the manifest.
├── SourceError        A camera, microphone or file failed. The supervisor opens it again.
│                      RecordingError: a file is damaged or cut off. Opening it again gives the same.
│                      NothingUsed: the stream has none of what is wanted of it.
├── ChildError         A child process failed. Start another one, or continue without it.
│                      ChildCrashed: ended by a signal. ChildTimeout: not done in time.
│                      AcceleratorError: an accelerator failed; `kind` says how.
├── UpdateError        A bundle was not replaced. Retry later, or skip that version; `kind` says which.
├── LocalError         A request on the local socket has no result; `kind` says why. Show the message.
├── TeachingError      Nothing was changed in what was taught; `kind` says why. Answer with the message.
├── HistoryError       An event was not kept, changed or found; `kind` says why. Count it, or answer with the message.
└── InputError         One input from outside is unusable. Drop it and count it.
"""

import errno
from collections.abc import Collection
from typing import Literal

# EX_CONFIG of sysexits.h: a restart without a change cannot help
EXIT_REFUSED = 78

# EX_DATAERR of sysexits.h: a recording that was to be played once is damaged or cut off
EXIT_DAMAGED = 65

# what the system lacks for a moment: descriptors of the process or of all, threads
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.EAGAIN)

# absent: not plugged in; refused: does not load; died: its process ended or failed; hung: no answer in time;
# slow: much slower than before; wrong: its results differ from the CPU's
FaultKind = Literal["absent", "refused", "died", "hung", "slow", "wrong"]

# source: does not answer, or not in the agreed form; trust: a signature is not valid; disk: full or failing;
# memory: too little; clock: not set; bundle: the bundle itself is bad, and this version is not tried again;
# waits: the labels that were taught here cannot be fitted onto it yet
UpdateFault = Literal["source", "trust", "disk", "memory", "clock", "bundle", "waits"]

# disk: full, failing, or locked by another process; damaged: the file was set aside; limit: as much as may be kept is
# there; unknown: no such example; invalid: it cannot be an example
TeachingFault = Literal["disk", "damaged", "limit", "unknown", "invalid"]

# disk: full, failing, or locked by another process; damaged: the file was set aside; limit: the events that somebody
# keeps leave no room for others; unknown: no such event, or no such file of it; busy: too many requests wait, or the
# daemon stops; off: no events are kept
HistoryFault = Literal["disk", "damaged", "limit", "unknown", "busy", "off"]

# down: the daemon does not answer; refused: it answers why not
LocalFault = Literal["down", "refused"]


class PerceptdError(Exception):
    """Base of every error that this program raises on purpose."""


class Refused(PerceptdError):
    """Input from the operator cannot be used; the message says what to change."""


class DocumentError(Refused):
    """A YAML document is wrong; each of `problems` names file, line, key, value and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BundleError(Refused):
    """Parts of a bundle are missing or do not match each other."""


class DamagedBundle(BundleError):
    """A file of a bundle differs from what was installed: the disk or card is to blame, not its maker."""


class ModelError(Refused):
    """A model cannot be loaded, or fails when it runs."""


class MismatchError(ModelError):
    """A model's tensor differs from its manifest; `key` is the path in the manifest, relative to the model's part."""

    def __init__(self, message: str, *key: str | int) -> None:
        super().__init__(message)
        self.key = key


class SourceError(PerceptdError):
    """A source stopped delivering; opening it again may help."""


class NothingUsed(SourceError):
    """A camera was reached, and its stream has none of what is `wanted` of it: "image", "audio"."""

    def __init__(self, label: str, wanted: Collection[str]) -> None:
        lacks: dict[tuple[str, ...], str] = {("audio",): "sends no sound", ("image",): "sends no picture"}
        text = lacks.get(tuple(sorted(wanted)), "contains neither a picture nor sound that is used")
        super().__init__(f"{label}: {text}")
        self.wanted = frozenset(wanted)


class RecordingError(SourceError):
    """A file is damaged or cut off; opening it again gives the same."""


class ChildError(PerceptdError):
    """A child process has ended, hangs or sends invalid data; a new process may work."""


class ChildCrashed(ChildError):
    """A child process was ended by a signal, which is how a fault in a native library appears."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"its process was ended by {signal_name}")
        self.signal_name = signal_name


class ChildTimeout(ChildError):
    """A child process did not finish within `deadline_s` seconds."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"the system has not answered for {deadline_s:g} s")
        self.deadline_s = deadline_s


class AcceleratorError(ChildError):
    """An accelerator failed, and the CPU computes instead; `signal_name` is set where a signal ended its process."""

    def __init__(self, kind: FaultKind, message: str, signal_name: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.signal_name = signal_name

    @classmethod
    def from_child(cls, kind: FaultKind, error: ChildError) -> "AcceleratorError":
        """Return the same error as a fault of this kind."""
        return cls(kind, str(error), error.signal_name if isinstance(error, ChildCrashed) else None)


class UpdateError(PerceptdError):
    """A bundle was not replaced; the active bundle keeps running."""

    def __init__(self, kind: UpdateFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class TeachingError(PerceptdError):
    """What was taught stays as it was; the message says why, in words for the person who teaches."""

    def __init__(self, kind: TeachingFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HistoryError(PerceptdError):
    """An event was not kept, changed or found; the message says why, in words for a person."""

    def __init__(self, kind: HistoryFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class LocalError(PerceptdError):
    """A request on the local socket has no result; the message says why."""

    def __init__(self, kind: LocalFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class InputError(PerceptdError):
    """One input from outside is unusable; it is dropped and counted."""


def shortage_behind(error: BaseException) -> OSError | None:
    """Return the error of the system that has led to an error, if the cause may be gone in a moment; else None.

    Without a descriptor no file can be read. That does not mean that anything is wrong with the file.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in SHORTAGES:
            return found
        found = found.__cause__ or found.__context__
    return None
