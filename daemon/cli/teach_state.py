"""What was taught to a node of this machine, for commands that work on its files."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.cli.reach import explained, node_config
from daemon.config.node import MODELS, Config, load_config, state_directory, teaching_database
from daemon.config.places import SERVICE_CONFIG, SERVICE_STATE
from daemon.core.document import Loaded
from daemon.core.errors import Refused, TeachingError
from daemon.teaching.store import TeachingStore
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import dry_start


@dataclass(frozen=True, slots=True)
class NodeState:
    """The config of a node of this machine, and its state directory."""

    config: Loaded[Config]
    directory: Path

    @property
    def database(self) -> Path:
        """The file with what was taught."""
        return teaching_database(self.directory)


def node_state(options: argparse.Namespace) -> NodeState:
    """Return the node that the options name, or the first whose config is found. Raises Refused."""
    path = node_config(options.config)
    with explained(path):
        config = load_config(path)
    environment = dict(os.environ)
    if path == SERVICE_CONFIG:  # systemd tells the service alone where its state is
        environment.setdefault("STATE_DIRECTORY", str(SERVICE_STATE))
    return NodeState(config, state_directory(config.document, environment))


def active_bundle(state: NodeState) -> Path:
    """Return the directory of the bundle that a start of the node would run. Raises Refused."""
    config = state.config.document
    built_in = load_bundle(Path(config.bundle))
    models, own = state.directory / MODELS, BuiltInBundle(built_in.manifest.id, built_in.directory)
    try:
        has_source, teaches = config.models.source is not None, config.can_teach
        stored = dry_start(models, own, has_source=has_source, teaches=teaches).bundle_to_run
    except PermissionError as error:
        raise Refused(f"{models}: {error.strerror}{_advice(state)}") from error
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
    try:
        if not state.directory.is_dir():
            raise Refused(f"{state.directory}: there is no such directory; start the node once, with this config")
        if read_only and not state.database.exists():
            raise Refused(f"{state.database}: there is no such file; nothing was taught to node {_name(state)}")
        with _as_owner(state.directory):
            store = TeachingStore(state.database, read_only=read_only)
        try:
            yield store
        finally:
            store.close()
    except TeachingError as error:
        raise Refused(f"{error}{_advice(state)}") from error
    except PermissionError as error:
        raise Refused(f"{state.database}: {error.strerror}{_advice(state)}") from error


def _name(state: NodeState) -> str:
    return state.config.document.node


def _advice(state: NodeState) -> str:
    """Return what to do where this user may not use the files."""
    if os.access(state.directory, os.R_OK | os.W_OK | os.X_OK) or os.geteuid() == 0:
        return ""
    return "\nOnly root and the user of the node may use it: run this command with sudo."


@contextmanager
def _as_owner(directory: Path) -> Iterator[None]:
    """Run a block of a command of root as the user who owns a directory."""
    status = directory.stat()
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
