"""Runs a microphone as the daemon does, in a process whose environment names the test's own sound server.

usage: microphone_process.py DEVICE CHANNEL BLOCKS; tells what happened as one JSON object per line. It runs the
microphone again, as the supervisor would, after every line it is given on standard input.
"""

import json
import sys
from itertools import pairwise
from threading import Event

import numpy as np

from daemon.clock import monotonic_ns
from daemon.errors import SourceError
from daemon.records import Block, Captured, Counters
from daemon.sources.microphone import Microphone, list_microphones

RATE_HZ = 16_000


def main() -> None:
    device, channel, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    counters = Counters()
    microphone = Microphone(int(device) if device.isdecimal() else device, channel, RATE_HZ, {"audio": counters})
    tell({"microphones": [entry.device for entry in list_microphones()]})
    for line in sys.stdin:
        run(microphone, wanted if line.strip() == "some" else None)
    tell({"dropped": counters.dropped})


def run(microphone: Microphone, wanted: int | None) -> None:
    """Run until so many blocks have come, or until it fails."""
    stop = Event()
    blocks: list[Block] = []
    ages_ns: list[int] = []

    def deliver(block: Captured) -> None:
        assert isinstance(block, Block)
        blocks.append(block)
        ages_ns.append(monotonic_ns() - block.end_ns)
        if len(blocks) == 10:
            tell({"delivers": True})
        if len(blocks) == wanted:
            stop.set()

    started_ns = monotonic_ns()
    try:
        microphone.run(deliver, stop)
    except SourceError as error:
        tell({"error": str(error), "blocks": len(blocks)})
        return
    samples = np.concatenate([block.samples for block in blocks])
    latest = samples[-RATE_HZ // 2 :]
    spectrum = np.abs(np.fft.rfft(latest * np.hanning(len(latest))))
    tell(
        {
            "blocks": len(blocks),
            "sizes": sorted({len(block.samples) for block in blocks}),
            "gaps": [number for number, block in enumerate(blocks) if block.gap],
            "loudest_hz": float(spectrum.argmax()) * RATE_HZ / len(latest),
            "youngest_ms": min(ages_ns) / 1e6,
            "oldest_ms": max(ages_ns) / 1e6,
            "strays_ms": max(abs(b.start_ns - a.end_ns) for a, b in pairwise(blocks)) / 1e6,
            "began_ms": (blocks[0].start_ns - started_ns) / 1e6,
        }
    )


def tell(message: dict[str, object]) -> None:
    print(json.dumps(message), flush=True)


main()
