"""usage: python -m tests.mqtt.outbox.small_disk_process DIRECTORY COUNT

Gives an outbox in the directory COUNT events while nobody takes them, then takes and acknowledges all.
Prints as JSON what was sent and counted, and how the outbox ends.
"""

import json
import sys
from pathlib import Path

from daemon.config.mqtt import OutboxConfig
from daemon.core.records import Counters
from daemon.mqtt.outbox.outbox import Outbox
from tests.mqtt.outbox.readers import Reader, act_until
from tests.mqtt.records import event

STEP = 100


def main(directory: Path, count: int) -> None:
    counters, reader = Counters(), Reader(0)
    outbox = Outbox(directory / "outbox.sqlite3", "node", OutboxConfig(), counters, reader)
    outbox.start()
    for number in range(count):
        outbox.add("front/event", event(number, "end"))
        if number % STEP == STEP - 1:  # as events come, not all at once
            act_until(outbox, lambda: outbox.status()["waiting"] < 1000 - STEP, "room in memory")
    acknowledged = 0

    def is_drained() -> bool:
        nonlocal acknowledged
        reader.free = 200
        for entry in reader.got[acknowledged:]:
            outbox.acknowledged(entry.sequence)
        acknowledged = len(reader.got)
        return outbox.status()["stored"] == outbox.status()["waiting"] == 0

    act_until(outbox, is_drained, "drained")
    status = outbox.status()
    assert outbox.close(10.0)
    print(json.dumps({"sent": reader.events, "dropped": counters.dropped, "trouble": status["trouble"]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
