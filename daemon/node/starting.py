"""Finds which bundle a start runs, and builds the node that a start would run, to check a config."""

import logging
from dataclasses import replace
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.config.node import Config, models_directory, state_directory
from daemon.core.document import Loaded
from daemon.core.errors import Refused, UpdateError
from daemon.core.mounts import why_passing
from daemon.node.state_files import set_later_state_aside
from daemon.node.stop_request import StopRequest
from daemon.node.wiring import build
from daemon.updates.policy import BuiltInBundle
from daemon.updates.slots import TAUGHT
from daemon.updates.startup import STATE_FILE, Startup, dry_start
from daemon.updates.state_file import read_state, read_stored
from daemon.updates.taught_state import NOTHING_TAUGHT

log = logging.getLogger(__name__)


def find_startup(config: Config, *, counts: bool = True) -> Startup | None:
    """Read which bundle is active; return None when the node's bundles are not replaced.

    Files of the state directory that a later version of perceptd has written are set aside first: nothing is open now.
    `counts`: see Startup. Raises Refused when neither the config's own bundle nor another one is known.
    """
    state = state_directory(config)
    set_later_state_aside(state)
    if (where := why_passing(state)) is not None:
        log.warning("%s lies %s: what is stored there is lost when the machine restarts", state, where)
    if not config.replaces_bundles:
        return None
    directory, has_source = models_directory(config), config.models.source is not None
    built_in = _built_in_bundle(Path(config.bundle), directory)
    return Startup(directory, built_in, counts=counts, has_source=has_source, teaches=config.can_teach)


def check_start(config: Loaded[Config]) -> None:
    """Build the node that a start would run, and write nothing. Raises Refused when it cannot be built."""
    settings = config.document
    if settings.replaces_bundles:
        directory, has_source = models_directory(settings), settings.models.source is not None
        built_in = _built_in_bundle(Path(settings.bundle), directory)
        stored = dry_start(directory, built_in, has_source=has_source, teaches=settings.can_teach).bundle_to_run
        if stored is not None:
            config = replace(config, document=settings.model_copy(update={"bundle": str(stored.directory)}))
    build(config, None, StopRequest())


def _built_in_bundle(directory: Path, models: Path) -> BuiltInBundle:
    """Return the config's own bundle, even if it is damaged: it is not needed while another bundle is active."""
    try:
        return BuiltInBundle(load_bundle(directory).manifest.id, directory)
    except Refused as error:
        base = _last_built_in_id(models)
        if base is None:
            raise
        log.error("the config's own bundle cannot be used: %s", error)
        return BuiltInBundle(base, directory)


def _last_built_in_id(models: Path) -> str | None:
    try:
        base = read_state(models / STATE_FILE).base
        return base or read_stored(models / TAUGHT / STATE_FILE, NOTHING_TAUGHT).built_in
    except UpdateError:  # reported when the states are read for the start
        return None
