"""`python -m daemon` is the same as `perceptd`."""

import sys

from daemon.cli.main import main

sys.exit(main())
