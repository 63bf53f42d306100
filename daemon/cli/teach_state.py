"""What was taught to a node of this machine, for commands that work on its files."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.cli.node_state import NodeState, advice
from daemon.cli.ownership import as_owner
from daemon.config.node import MODELS, teaching_database
from daemon.core.errors import Refused, TeachingError
from daemon.teaching.store import TeachingStore
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import dry_start


def active_bundle(state: NodeState) -> Path:
    """Return the directory of the bundle that a start of the node would run. Raises Refused."""
    config = state.config.document
    built_in = load_bundle(Path(config.bundle))
    models, own = state.directory / MODELS, BuiltInBundle(built_in.manifest.id, built_in.directory)
    try:
        has_source, teaches = config.models.source is not None, config.can_teach
        stored = dry_start(models, own, has_source=has_source, teaches=teaches).bundle_to_run
    except PermissionError as error:
        raise Refused(f"{models}: {error.strerror}{advice(state)}") from error
    return built_in.directory if stored is None else stored.directory


def stream_of(options: argparse.Namespace, state: NodeState) -> str:
    """Return the stream of the options, or the only one of the node. Raises Refused."""
    streams = list(state.config.document.streams)
    if options.stream is None and len(streams) == 1:
        return streams[0]
    if options.stream not in streams:
        given = "name the stream by --stream" if options.stream is None else f"no stream {options.stream!r}"
        raise Refused(f"{given}; there are {', '.join(streams)}")
    return str(options.stream)


@contextmanager
def opened(state: NodeState, *, read_only: bool) -> Iterator[TeachingStore]:
    """Give a block what was taught to a node. Raises Refused with what to do, also for errors in the block.

    Root opens the files of the service as its user, so that new ones belong to that user. SQLite gives the files that
    it makes beside the database to the same user.
    """
    path = teaching_database(state.directory)
    try:
        if not state.directory.is_dir():
            raise Refused(f"{state.directory}: there is no such directory; start the node once, with this config")
        if read_only and not path.exists():
            raise Refused(f"{path}: there is no such file; nothing was taught to node {state.node}")
        with as_owner(state.directory):
            store = TeachingStore(path, read_only=read_only)
        try:
            yield store
        finally:
            store.close()
    except TeachingError as error:
        raise Refused(f"{error}{advice(state)}") from error
    except PermissionError as error:
        raise Refused(f"{path}: {error.strerror}{advice(state)}") from error
