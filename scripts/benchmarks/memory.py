"""The daemon's memory over time, replaying the demo in real time: after ten minutes against after one.

What it has allocated decides; PSS is shown beside it, and changes with whoever else maps the same libraries.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from demo import broker

from benchmarks.measured import STOP_DEADLINE_S, anonymous_mb, pss_mb

ROOT = Path(__file__).resolve().parents[2]
TARGET_MB = 5.0


def main() -> int:
    """Print the memory at each minute; the exit code is 1 when it has grown by more than the target."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="how long to look (default: 10)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name, broker(Path(name)) as port:
        after_mb = _watch(_config(Path(name)), port, options.minutes, quiet=options.json)
    grown_mb = after_mb[-1] - after_mb[0]
    if options.json:
        print(json.dumps({"allocated_mb_after_minute": after_mb, "grown_mb": grown_mb}))
    else:
        met = "met" if grown_mb <= TARGET_MB else "MISSED"
        print(f"grown by {grown_mb:.1f} MB from minute 1 to minute {options.minutes} (at most {TARGET_MB} MB: {met})")
    return 0 if grown_mb <= TARGET_MB else 1


def _config(directory: Path) -> Path:
    """The shipped config with every recognition published."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["bundle"] = str(ROOT / config["bundle"])
    config["log_level"] = "warning"
    config["mqtt"]["recognitions"]["publish"] = "every"
    replay = config["streams"]["demo"]["replay"]
    replay["file"], replay["text"] = str(ROOT / replay["file"]), str(ROOT / replay["text"])
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _watch(config: Path, port: int, minutes: int, *, quiet: bool) -> list[float]:
    command = [sys.executable, "-m", "daemon", "run", "--config", str(config), "--broker", f"127.0.0.1:{port}"]
    after_mb = []
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        for minute in range(1, minutes + 1):
            time.sleep(60)
            if process.poll() is not None:
                raise SystemExit(f"the daemon ended with exit code {process.returncode}")
            after_mb.append(anonymous_mb(process.pid))
            if not quiet:
                whole_mb = pss_mb(process.pid)
                print(f"after {minute:2} min: {after_mb[-1]:.1f} MB allocated, {whole_mb:.1f} MB PSS", flush=True)
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)
    return after_mb


if __name__ == "__main__":
    sys.exit(main())
