"""Describes a node for its page: streams, labels, masks, and the parts of the config that the page follows. Pure."""

from typing import Any

from daemon import __version__
from daemon.bundle.manifest import Manifest
from daemon.config.node import Config
from daemon.config.streams import PictureConfig, StreamConfig
from daemon.core.timing import monotonic_ns, wall_time
from daemon.node.announcement import states_of


def description(config: Config, manifest: Manifest) -> dict[str, Any]:
    """Return what the page needs to know of a node. No secret of the config is in it."""
    language = config.mqtt.home_assistant.language
    names = {label: info.names for label, info in manifest.label_info.items()}
    return {
        "node": config.node,
        "version": __version__,
        "bundle": manifest.id,
        "time": wall_time(monotonic_ns()),
        "streams": {name: _stream(name, stream, manifest) for name, stream in config.streams.items()},
        "history": None if config.history is None else config.history.model_dump(mode="json", by_alias=True),
        "page": config.page.model_dump(mode="json"),
        "language": language,
        "background": list(manifest.background),
        "label_names": {label: found[language] for label, found in names.items() if language and language in found},
    }


def picture_of(stream: StreamConfig) -> PictureConfig:
    """Return how the pictures of a stream are prepared."""
    return stream.camera or stream.replay or PictureConfig()


def _stream(name: str, stream: StreamConfig, manifest: Manifest) -> dict[str, Any]:
    labels, base = manifest.labels_in(name), set(manifest.base_labels)
    picture = picture_of(stream)
    return {
        "name": stream.name or name,
        "area": stream.area,
        "camera": stream.camera is not None or stream.replay is not None,
        "sound": stream.may_hear,
        "text": stream.text.enabled,
        "view_of": None if stream.camera is None else stream.camera.view_of,
        "labels": [label for label in labels if label not in manifest.background],
        "taught": [label for label in labels if label not in base],
        "groups": states_of(manifest, name),
        "masks": [list(polygon) for polygon in picture.masks],
        "rotate": picture.rotate,
        "region": picture.region.model_dump(mode="json"),
        "gates": {"motion": stream.gates.motion is not None, "sound": stream.gates.sound is not None},
    }
