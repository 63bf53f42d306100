"""The demo of scripts/run: what it prints, and its summary."""

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_prints_what_the_node_publishes_and_a_summary() -> None:
    command = [sys.executable, "scripts/demo.py"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert demo.stdout is not None
        lines = []
        # each pass of the recording has events, and the first comes within its first seconds
        for line in demo.stdout:
            lines.append(line)
            if "started" in line or "Traceback" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate()
    finally:
        demo.kill()
        demo.wait()
    printed = "".join(lines) + rest
    assert demo.returncode == 0, printed
    assert "Traceback" not in printed
    assert "is well" in printed
    assert "runs digits@" in printed
    assert "frames captured" in rest
    assert "first recognition: " in rest
