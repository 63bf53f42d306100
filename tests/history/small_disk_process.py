"""usage: python -m tests.history.small_disk_process DIRECTORY

Keeps events until the disk has no room for more, and after there is room again. Prints how that went.
"""

import sys
from itertools import count
from pathlib import Path

from daemon.core.errors import HistoryError
from daemon.history.store import HistoryStore
from tests.history.kept import LARGE, agreement, keep_whole, kept_event


def main(directory: Path) -> None:
    store = HistoryStore(directory / "history", LARGE)
    words = "nothing"
    for number in count():
        try:
            keep_whole(store, kept_event(f"e{number}"), clip=bytes(500_000))
            store.commit()
        except HistoryError as error:
            words = str(error)
            break
    store.delete("e0")
    store.commit()
    keep_whole(store, kept_event("again"))
    store.commit()
    assert agreement(directory / "history") == []
    print(f"refused: {'must stay free' if 'must stay free' in words else words}; went on when there was room")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
