"""What is announced to Home Assistant follows from the config, and what is gone from it is taken back."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daemon.config.node import Config
from daemon.node.announcement import Announcement

MODELS = {"models", "models_check", "models_pin"}


class Announced:
    """What `announce` needs of a session: keeps the components it was given last."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}

    def announce(self, _topic: str, payload: bytes) -> None:
        self.components = json.loads(payload)["components"]


def announced(models: dict[str, str], path: Path) -> dict[str, dict[str, Any]]:
    settings = {"node": "n", "bundle": "b", "streams": {"s": {"camera": 0}}, "models": models}
    manifest, session = SimpleNamespace(labels=["7"], background=[]), Announced()
    Announcement(Config.model_validate(settings), {}, session, path).publish(manifest)  # type: ignore[arg-type]
    return session.components


def test_bundles_have_entities_as_long_as_there_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    assert not MODELS & set(announced({}, path))
    with_source = announced({"source": "https://models.example", "root": "root.json"}, path)
    assert with_source["models"]["platform"] == "update"
    assert set(with_source) >= MODELS
    without = announced({}, path)
    assert {key: set(without[key]) for key in MODELS} == {key: {"platform"} for key in MODELS}
