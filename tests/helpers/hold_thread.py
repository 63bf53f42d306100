"""Stops one thread of a process by ptrace while its other threads run. Prints "held" once the thread has stopped.

The thread runs again when this process ends. Needs root.
usage: hold_thread.py PID THREAD, where THREAD is the thread's name in /proc/PID/task/*/comm
"""

import ctypes
import os
import sys
from pathlib import Path

# from linux/ptrace.h and linux/wait.h
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000


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
    os.waitpid(thread, WALL)  # a traced thread remains until its tracer has waited for it


main()
