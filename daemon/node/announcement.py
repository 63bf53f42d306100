"""Announces the node to Home Assistant, and withdraws entities that are gone."""

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import RootModel, ValidationError

from daemon import __version__
from daemon.bundle.manifest import Manifest
from daemon.config.node import Config
from daemon.core.files import read_own, replace_file
from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.devices import (
    Label,
    NodeDevice,
    StreamDevice,
    discovery_topic,
    node_object,
    platforms,
)
from daemon.mqtt.session import Session
from daemon.node.stream import Stream

log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
_Platforms = RootModel[dict[str, str]]


class Announcement:
    """Publishes the retained discovery message. A file remembers its entities, so that they can be removed later."""

    def __init__(self, config: Config, streams: Mapping[str, Stream], session: Session, path: Path) -> None:
        """`path` is the file that remembers what was announced."""
        self._config = config
        self._streams = streams
        self._session = session
        self._path = path

    def publish(self, manifest: Manifest) -> None:
        """Announce the node with the labels of a bundle; where discovery is off, withdraw what was announced."""
        settings = self._config.mqtt.home_assistant
        topic, announced = discovery_topic(settings.prefix, node_object(self._config.node)), self._announced()
        if not settings.discovery:
            if announced:
                self._session.announce(topic, b"")
            return
        labels = [Label(label) for label in manifest.labels if label not in manifest.background]
        streams = [
            StreamDevice(name, None, None, labels, stream.devices, self._config.streams[name].text.enabled)
            for name, stream in self._streams.items()
        ]
        node = NodeDevice(self._config.node, __version__, settings.prefix, self._config.models.source is not None)
        payload = announcements(node, streams, per_stream=False)[topic]
        removed = {key: {"platform": platform} for key, platform in announced.items() if key not in payload.components}
        payload = payload.model_copy(update={"components": removed | payload.components})
        self._session.announce(topic, payload.to_json())
        try:
            replace_file(self._path, _Platforms(platforms(payload)).model_dump_json().encode())
        except OSError as error:
            log.warning(
                "%s: %s; entities that are removed later stay in Home Assistant", self._path, error.strerror or error
            )

    def _announced(self) -> dict[str, str]:
        """Return the platform of each entity that was announced before."""
        try:
            return _Platforms.model_validate_json(read_own(self._path, MAX_BYTES)).root
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError):
            log.warning("%s cannot be read; entities that are gone stay in Home Assistant", self._path)
            return {}
