"""How much of a disk the outbox uses, so that it can always remove events and move its journal. Pure."""

from dataclasses import dataclass

PAGE_BYTES = 4096

# SQLite moves its journal (WAL) into the database at this size, on any disk that is large enough
MOST_JOURNAL_PAGES, LEAST_JOURNAL_PAGES = 1000, 8

# Pages that a transaction changes besides those of its events: totals, indexes, lists of free pages.
TRANSACTION_PAGES = 16

# The tables need this many pages when they are empty.
LEAST_DATABASE_PAGES = 16


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The journal's size at which it is moved, the largest database, and the bounds of one transaction."""

    journal_pages: int
    database_pages: int
    batch_bytes: int
    batch_removals: int

    @property
    def journal_bytes(self) -> int:
        """The same size of the journal in bytes."""
        return self.journal_pages * PAGE_BYTES


def disk_room(free_bytes: int, own_bytes: int) -> DiskRoom:
    """Return how the outbox divides the bytes that are free and those that its own files have.

    A journal is moved after the transaction that makes it longer than `journal_pages`. So at its longest it has one
    transaction more. An event's payload is in a transaction twice, because the store notes which events are open. What
    is left belongs to the database; there the journal fits whenever it is moved.
    """
    pages = max(0, free_bytes + own_bytes) // PAGE_BYTES
    journal_pages = min(MOST_JOURNAL_PAGES, max(LEAST_JOURNAL_PAGES, pages // 8))
    reserve = 2 * journal_pages + TRANSACTION_PAGES
    return DiskRoom(
        journal_pages=journal_pages,
        database_pages=max(LEAST_DATABASE_PAGES, pages - reserve),
        batch_bytes=journal_pages * PAGE_BYTES // 2,
        batch_removals=journal_pages * 8,  # a page holds about so many events
    )


# for as long as the disk is not known
LARGE_DISK = disk_room(1 << 40, 0)
