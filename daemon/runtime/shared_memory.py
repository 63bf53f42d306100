"""Memory and counters that a parent and its child processes share by descriptors."""

import fcntl
import mmap
import os
from contextlib import ExitStack

from daemon.core.errors import ChildError

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

# from linux/fcntl.h: memory that is mapped later cannot be written
F_SEAL_FUTURE_WRITE = 0x0010


def shared_memory(size: int) -> int:
    """Return a descriptor of memory to share, of fixed size: truncated memory would crash its users."""
    return _sealed_memory(size)[0]


def read_only_memory(size: int) -> tuple[int, mmap.mmap]:
    """Return a descriptor of memory that others can only read, and the memory, which the caller writes.

    Raises ChildError without memory.
    """
    try:
        return _sealed_memory(size, F_SEAL_FUTURE_WRITE)
    except OSError as error:
        raise ChildError(f"no memory could be shared: {error}") from error


def event_counter() -> int:
    """Return a non-blocking descriptor by which two processes wake each other."""
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def close_with(stack: ExitStack, descriptor: int) -> int:
    """Return the descriptor, and close it with the stack."""
    stack.callback(os.close, descriptor)
    return descriptor


def memory_with(content: bytes) -> int:
    """Return a descriptor of shared memory with this content. Raises OSError."""
    descriptor = shared_memory(len(content))
    try:
        os.pwrite(descriptor, content, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sealed_memory(size: int, more_seals: int = 0) -> tuple[int, mmap.mmap]:
    descriptor = os.memfd_create("perceptd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS | more_seals)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, memory
