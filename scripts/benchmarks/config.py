"""The config of a node that is measured: every moment is made, and every recognition published."""

from collections.abc import Mapping
from pathlib import Path

import yaml

EVERY_MOMENT_HZ = 1000.0
"""As many as a config may ask for: no moment waits for another's time."""


def write_config(path: Path, node: str, bundle: Path, port: int, streams: Mapping[str, Mapping[str, object]]) -> None:
    """Write it; what the node keeps lies beside it."""
    config = {
        "node": node,
        "bundle": str(bundle),
        "log_level": "warning",
        "state_directory": str(path.with_suffix("") / "state"),
        "mqtt": {"port": port, "recognitions": {"publish": "every"}},
        "streams": {name: {**sources, "fusion": {"max_rate_hz": EVERY_MOMENT_HZ}} for name, sources in streams.items()},
    }
    path.write_text(yaml.safe_dump(config))
