"""Runs one command, and turns errors into messages and exit codes."""

import os
import sys

from daemon.cli.parser import parse
from daemon.core.errors import EXIT_REFUSED, Refused, shortage_behind
from daemon.core.text import harmless

# what libraries look for in the environment when they are imported
LIBRARY_SETTINGS = {
    # numpy's BLAS threads would spin for 100 ms of CPU after each small product
    "OPENBLAS_NUM_THREADS": "1",
}

EXIT_INTERRUPTED = 130

# for once, the system has too few descriptors or threads: unlike after EXIT_REFUSED, the service is started again
EXIT_SHORTAGE = 1


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    It is 0 without a problem. It is 1 when the command does not find what it looks for, or when the system lacks
    descriptors for a moment. It is 65 when a recording is cut off, 78 when the operator must change something, and 130
    after Ctrl-C. The exit codes of doctor are 0, 1 and 2.
    """
    for name, value in LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)
    options = parse(arguments)
    try:
        return int(options.execute(options))
    except Refused as error:
        # messages quote files and hosts
        print(harmless(str(error)), file=sys.stderr)
        return EXIT_REFUSED if shortage_behind(error) is None else EXIT_SHORTAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # the program that read our output has ended; nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
