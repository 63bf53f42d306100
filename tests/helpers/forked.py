"""Work in a process that is forked from this one, and may be killed."""

import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator

LONGEST_S = 30.0

Report = Callable[[str], None]


def in_child(
    work: Callable[[Report], None], kill_after_s: float | None = None, *, from_first_report: bool = False
) -> str:
    """Return what the work reports, or how it failed.

    With a time, the process is killed so long after its start, or after its first report.
    """
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _do(work, writable)
    os.close(writable)
    try:
        first = ""
        if kill_after_s is not None:
            if from_first_report:
                first = os.read(readable, 65536).decode()
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        return first + "".join(_read(readable))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(readable)


def _do(work: Callable[[Report], None], to: int) -> None:
    """In a child: never returns."""
    try:
        work(lambda text: (os.write(to, text.encode()), None)[1])
    except BaseException:  # noqa: BLE001  (the parent tells it)
        os.write(to, traceback.format_exc().encode())
    os._exit(0)


def _read(readable: int) -> Iterator[str]:
    while select.select([readable], [], [], LONGEST_S)[0]:
        text = os.read(readable, 65536)
        if not text:
            return
        yield text.decode()
    yield "Traceback: hangs"
