"""Builds what keeps events. A node loads it where its config asks for a history: its modules take 2 MB."""

from collections.abc import Mapping

from daemon.config.history import HistoryConfig
from daemon.config.node import Config, history_directory
from daemon.core.records import Counters
from daemon.history.records import Quota
from daemon.node.historian import Historian
from daemon.node.history_disk import HistoryDisk
from daemon.node.history_inbox import HistoryInbox
from daemon.node.history_topics import SnapshotTopics
from daemon.node.history_work import HistoryInput, HistoryWork, KeptSink
from daemon.node.stream import Stream

BYTES_PER_MB, SECONDS_PER_DAY = 1_000_000, 86_400


def new_inbox(settings: Config, config: HistoryConfig, counters: Counters) -> HistoryInbox:
    """Return what takes the events of all streams."""
    return HistoryInbox(settings.streams, config, counters)


def new_historian(
    settings: Config,
    config: HistoryConfig,
    inbox: HistoryInbox,
    streams: Mapping[str, Stream],
    topics: SnapshotTopics,
    counters: Counters,
    hear_kept: KeptSink,
) -> Historian:
    """Return the thread `history`. `hear_kept` is told of each event that is kept."""
    rings = {name: stream.ring for name, stream in streams.items() if stream.ring is not None}
    heard = frozenset(name for name, stream in settings.streams.items() if stream.may_hear)
    quota = Quota(round(config.quota_mb * BYTES_PER_MB), config.max_age_days * SECONDS_PER_DAY)
    disk = HistoryDisk(history_directory(settings), quota)
    work = HistoryWork(config, HistoryInput(inbox, rings, heard), disk, topics, counters, hear_kept)
    return Historian(work, inbox, disk, list(rings.values()), quota, counters)
