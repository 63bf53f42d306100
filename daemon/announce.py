"""Tells Home Assistant of the node, and remembers what it was told, so that what is gone can be removed."""

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import RootModel, ValidationError

from daemon import __version__
from daemon.config import Config
from daemon.files import read_bounded, replace_file
from daemon.manifest import Manifest
from daemon.mqtt import Session, StreamEntities, discovery_payload, discovery_topic, platforms
from daemon.stream import Stream

log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
_Known = RootModel[dict[str, str]]


def announce(config: Config, manifest: Manifest, streams: Mapping[str, Stream], session: Session, path: Path) -> None:
    """Announce the node as it is now; or, where that is not wanted any more, take back what was announced."""
    settings = config.mqtt.home_assistant
    topic, known = discovery_topic(settings.prefix, config.node), _known(path)
    if not settings.discovery:
        if known:
            session.announce(topic, b"")
        return
    labels = [label for label in manifest.labels if label not in manifest.background]
    entities = [StreamEntities(name, labels, stream.devices) for name, stream in streams.items()]
    has_updates = config.models.source is not None
    payload = discovery_payload(config.node, __version__, entities, known, has_updates=has_updates)
    session.announce(topic, payload.to_json())
    try:
        replace_file(path, _Known(platforms(payload)).model_dump_json().encode())
    except OSError as error:
        log.warning("%s: %s; entities that go later stay in Home Assistant", path, error.strerror or error)


def _known(path: Path) -> dict[str, str]:
    """What was announced before, with platforms."""
    try:
        return _Known.model_validate_json(read_bounded(path, MAX_BYTES)).root
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError):
        log.warning("%s cannot be read: entities that are gone stay in Home Assistant", path)
        return {}
