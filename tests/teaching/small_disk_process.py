"""usage: python -m tests.teaching.small_disk_process DIRECTORY

Adds examples until the disk is full, then removes and forgets all. Prints how that went.
"""

import sys
from itertools import count
from pathlib import Path

from daemon.core.errors import TeachingError
from daemon.teaching.store import TeachingStore
from tests.teaching.records import example


def main(directory: Path) -> None:
    store = TeachingStore(directory / "teaching" / "teaching.db")
    words = "nothing"
    for number in count():
        try:
            store.add_example(example(f"e{number}", picture=bytes(300_000)))
        except TeachingError as error:
            words = str(error)
            break
    (directory / "filled").write_bytes(bytes(4 << 20))
    store.forget_label("kettle boils")
    assert store.examples() == []
    print(f"refused: {'must stay free' if 'must stay free' in words else words}; removed all")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
