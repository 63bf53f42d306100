"""A loop that hangs or works, beside threads that compute without end. Prints "hangs" when the loop hangs for certain.

usage: python -m tests.helpers.late_loop hang|work THREADS
"""

import sys
import threading
import time

from daemon.core.timing import monotonic_ns
from daemon.runtime.heartbeat import Certainty, Heartbeat, hung_loops
from daemon.runtime.processor import ProcessorShare

# the loop is overdue after this time, and a round of its work takes this much processor time
WITHIN_S, WORK_S = 0.3, 0.1
LOOK_S = 0.25


def compute(seconds: float) -> None:
    """Use processor time."""
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pow(3, 2000, 10**400)


def loop(heartbeat: Heartbeat, kind: str) -> None:
    heartbeat.begin()
    while True:
        heartbeat.mark(WITHIN_S)
        if kind == "hang":
            threading.Event().wait()
        compute(WORK_S)


def main() -> None:
    kind, threads = sys.argv[1], int(sys.argv[2])
    heartbeat = Heartbeat("late")
    threading.Thread(target=loop, args=(heartbeat, kind), daemon=True).start()
    for _ in range(threads):
        threading.Thread(target=compute, args=(3600,), daemon=True).start()
    processor, certainty = ProcessorShare(), Certainty()
    print("begins", flush=True)
    while True:
        time.sleep(LOOK_S)
        processor.look()
        if certainty.look(hung_loops([heartbeat.snapshot()], monotonic_ns()) is not None, processor):
            print("hangs", flush=True)
            return


main()
