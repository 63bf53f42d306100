"""What the updater needs of others: a node whose bundle can be replaced, and something that runs a stage."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from daemon.bundles.rules import Vitals

Beat = Callable[[], None]
"""Called at least once a second by what takes long; raises Closing when it is to be given up."""

Step = Literal["look", "resolve", "download", "verify", "check", "selftest"]
"""What is done in a child process: a look at the source, and the stages before the switch."""


class Closing(Exception):
    """The daemon stops: what is being done is given up."""


class Host(Protocol):
    """The node; called by the updater's thread."""

    def prepare(self, directory: Path, bundle: str) -> Callable[[], None]:
        """Load a bundle beside the running one; what is returned switches to it, and cannot fail.

        `bundle` is its id, name@version. Raises Refused when it cannot be used.
        """

    def vitals(self) -> Vitals:
        """How the running bundle does: in its latest 500 moments, or since it took over if it is on probation."""


class Runner(Protocol):
    """Runs what a step does, where it can harm nobody."""

    def run(self, step: Step, request: str, deadline_s: float, beat: Beat, inherits: Sequence[int] = ()) -> str:
        """The step's answer: one JSON object. `inherits` are descriptors it may use.

        Raises ChildError when it fails (Late: not done in time), UpdateError when it cannot even begin.
        """
