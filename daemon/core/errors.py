"""What can go wrong, grouped by what the caller does next.

PerceptdError
├── Refused            the operator must change something: say what and where, exit code 78
│   ├── DocumentError  config.yaml or bundle.yaml is wrong at a line
│   ├── BundleError    a bundle's files do not fit together
│   └── ModelError     a .tflite file cannot be loaded or run (MismatchError: is not what the manifest says)
├── SourceError        a camera, microphone or file failed: the supervisor tries it again
├── ChildError         a child process failed: start another, or do without what it does (Crashed: ended by a signal;
│                      Late: not done in time; AcceleratorError: an accelerator's, and how)
├── UpdateError        a bundle could not be replaced: try again later, or leave that version alone (kind)
└── InputError         one input from outside is unusable: drop it and count it
"""

from typing import Literal

EXIT_REFUSED = 78
"""EX_CONFIG of sysexits.h: restarting without a change cannot help."""


class PerceptdError(Exception):
    """The base of every error this program raises on purpose."""


class Refused(PerceptdError):
    """What the operator gave cannot be used; the message says what to change."""


class DocumentError(Refused):
    """A YAML document is wrong; each problem names file, line, key, value and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class BundleError(Refused):
    """The parts of a bundle are missing or do not fit together."""


class ModelError(Refused):
    """A model cannot be loaded, or does not run."""


class MismatchError(ModelError):
    """A model's tensor is not what its manifest says; `key` is the manifest's, relative to the model's part."""

    def __init__(self, message: str, *key: str) -> None:
        super().__init__(message)
        self.key = key


class SourceError(PerceptdError):
    """A source stopped delivering; opening it again may help."""


class ChildError(PerceptdError):
    """A child process has ended, hangs, or makes no sense; another one may do better.

    `signal_name` is the signal that has ended it, or None.
    """

    signal_name: str | None = None


FaultKind = Literal["absent", "refused", "died", "hung", "slow", "wrong"]
"""What an accelerator does: it is not there, does not load, ends or fails, does not answer in time, takes much longer
than before, computes wrongly."""


class AcceleratorError(ChildError):
    """An accelerator failed in one of the ways they do; the CPU computes instead."""

    def __init__(self, kind: FaultKind, message: str, signal_name: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.signal_name = signal_name

    @classmethod
    def from_child(cls, kind: FaultKind, error: ChildError) -> "AcceleratorError":
        """Return the same error as a fault of this kind."""
        return cls(kind, str(error), error.signal_name)


class ChildCrashed(ChildError):
    """A child process was ended by a signal, as a library's fault ends it."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"its process was ended by {signal_name}")
        self.signal_name = signal_name


class ChildTimeout(ChildError):
    """A child process was not done by its deadline, in seconds."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"the system has not answered for {deadline_s:g} s")
        self.deadline_s = deadline_s


UpdateFault = Literal["source", "trust", "disk", "memory", "clock", "bundle"]
"""Why a bundle was not replaced: its source does not answer, or not as agreed; its signatures are not to be trusted;
there is no room, or a disk fails; there is too little memory; the clock is not set; the bundle is no good: that version
is then left alone."""


class UpdateError(PerceptdError):
    """A bundle could not be replaced; the one that runs goes on."""

    def __init__(self, kind: UpdateFault, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class InputError(PerceptdError):
    """One input from outside is unusable; it is dropped and counted."""
