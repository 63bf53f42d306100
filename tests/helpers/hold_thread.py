"""Stops one thread of a process by ptrace, the others running on, until it or this process ends. Says "held".

usage: hold_thread.py PID THREAD; THREAD is its name in /proc/PID/task/*/comm. As root.
"""

import ctypes
import os
import sys
from pathlib import Path

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000
"""From linux/ptrace.h and linux/wait.h."""


def main() -> None:
    tasks = Path(f"/proc/{sys.argv[1]}/task").iterdir()
    thread = next(int(task.name) for task in tasks if (task / "comm").read_text().strip() == sys.argv[2])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(thread, WALL)
    print("held", flush=True)
    os.waitpid(thread, WALL)  # a thread that is traced has not ended until its tracer has heard of it


main()
