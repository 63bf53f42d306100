"""Writes the config of a measured node. It computes every moment and publishes every recognition."""

from collections.abc import Mapping
from pathlib import Path

import yaml

# The highest rate that a config may ask for, so that no moment waits for the rate limit.
EVERY_MOMENT_HZ = 1000.0


def write_config(path: Path, node: str, bundle: Path, port: int, streams: Mapping[str, Mapping[str, object]]) -> None:
    """Write the config. The state directory of the node lies beside it."""
    config = {
        "node": node,
        "bundle": str(bundle),
        "log_level": "warning",
        "state_directory": str(path.with_suffix("") / "state"),
        "mqtt": {"port": port, "recognitions": {"publish": "every"}},
        "streams": {name: {**sources, "fusion": {"max_rate_hz": EVERY_MOMENT_HZ}} for name, sources in streams.items()},
    }
    path.write_text(yaml.safe_dump(config))
