"""Entities announced to Home Assistant follow the config, and removed ones are withdrawn."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daemon.config.node import Config
from daemon.node.announcement import Announcement

MODELS = {"models", "models_check", "models_pin"}


class FakeSession:
    """Stands in for a session: stores the components of the last announcement."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}

    def announce(self, _topic: str, payload: bytes) -> None:
        self.components = json.loads(payload)["components"]


def announced(models: dict[str, str], path: Path) -> dict[str, dict[str, Any]]:
    settings = {"node": "n", "bundle": "b", "streams": {"s": {"camera": 0}}, "models": models}
    manifest, session = SimpleNamespace(labels=["7"], background=[]), FakeSession()
    Announcement(Config.model_validate(settings), {}, session, path).publish(manifest)  # type: ignore[arg-type]
    return session.components


def test_update_entities_exist_while_models_source_is_set(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    assert not MODELS & set(announced({}, path))
    with_source = announced({"source": "https://models.example", "root": "root.json"}, path)
    assert with_source["models"]["platform"] == "update"
    assert set(with_source) >= MODELS
    without = announced({}, path)
    assert {key: set(without[key]) for key in MODELS} == {key: {"platform"} for key in MODELS}
