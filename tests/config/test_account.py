"""Which config a command takes when none is named, and what it takes from it."""

import os
from pathlib import Path

import pytest

from daemon.config.account import broker_and_node
from daemon.config.places import SERVICE_CONFIG, account_configs, find_config, node_configs, unit_files
from daemon.core.errors import DocumentError

ALL = "node: hall\nbundle: b\nmqtt: {host: h, password_file: p}\nstreams: {s: {camera: 0}}\n"


@pytest.mark.parametrize(
    ("environment", "own"),
    [
        ({"HOME": "/home/sam"}, "/home/sam/.config/perceptd/config.yaml"),
        ({"HOME": "/home/sam", "XDG_CONFIG_HOME": "/elsewhere"}, "/elsewhere/perceptd/config.yaml"),
        ({"HOME": "/home/sam", "XDG_CONFIG_HOME": "relative"}, "/home/sam/.config/perceptd/config.yaml"),
        ({"HOME": "/home/sam", "XDG_CONFIG_HOME": ""}, "/home/sam/.config/perceptd/config.yaml"),
    ],
)
def test_an_own_account_comes_before_the_service(environment: dict[str, str], own: str) -> None:
    assert account_configs(environment) == [Path("config.yaml"), Path(own), SERVICE_CONFIG]
    assert node_configs() == [Path("config.yaml"), SERVICE_CONFIG]


def test_the_first_config_that_is_there_is_taken(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a", "b", "c")]
    with pytest.raises(DocumentError, match=f"no config: there is no {places[0]} or {places[1]} or {places[2]}; name"):
        find_config(places)
    places[2].touch()
    assert find_config(places) == places[2]
    places[1].touch(0)
    assert find_config(places) == places[1]
    assert find_config([places[1] / "below", *places]) == places[1]


@pytest.mark.parametrize(
    ("text", "node", "any_node", "expected"),
    [
        (ALL, None, False, "hall"),
        (ALL, "yard", False, "yard"),
        (ALL, None, True, "hall"),
        (ALL, "+", True, "+"),
        ("mqtt: {host: h, username: sam, password_file: p}\n", None, True, "+"),
        ("mqtt: {host: h, password_file: p}\n", "yard", False, "yard"),
        ("node: hall\nmqtt: {host: h, password_file: p}\n", None, False, "hall"),
    ],
)
def test_a_person_needs_only_the_broker(
    tmp_path: Path, text: str, node: str | None, any_node: bool, expected: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    mqtt, named = broker_and_node(None, node, path, any_node=any_node)
    assert (mqtt.hosts, mqtt.password_file, named) == (("h",), str(tmp_path / "p"), expected)


def test_options_replace_the_broker_and_the_node_but_not_the_login(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(ALL)
    mqtt, node = broker_and_node("[::1]:1884", "yard", path)
    assert (mqtt.hosts, mqtt.port, mqtt.password_file, node) == (("::1",), 1884, str(tmp_path / "p"), "yard")
    mqtt, node = broker_and_node("other", "yard", None)
    assert (mqtt.hosts, mqtt.password_file, node) == (("other",), None, "yard")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mqtt: {host: h}\n", ": node: is missing; write it there, or name the node by --node NAME"),
        ("mqtt: {hots: h}\n", ":1: mqtt.hots: unknown key; did you mean 'host'?"),
        ("nodes: hall\n", ":1: nodes: unknown key; did you mean 'node'?"),
        ("node: '+'\n", ":1: node = '+': expected 1 to 64 characters"),
        ("streams: {s: {camera: -1}}\n", ":1: streams.s.camera"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as error:
        broker_and_node(None, None, path)
    assert str(error.value).startswith(f"{path}{problem}")


def test_the_unit_is_read_before_its_drop_ins(tmp_path: Path) -> None:
    assert unit_files([tmp_path]) == []
    for name in ("perceptd.service", "perceptd.service.d/b.conf", "perceptd.service.d/a.conf", "other.service"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "perceptd.service.d" / "note.txt").touch()
    names = [os.path.relpath(file, tmp_path) for file in unit_files([tmp_path])]
    assert names == ["perceptd.service", "perceptd.service.d/a.conf", "perceptd.service.d/b.conf"]


def test_what_an_administrator_writes_overrides_the_units_of_a_package(tmp_path: Path) -> None:
    package, own = tmp_path / "package", tmp_path / "own"
    for name in ("package/perceptd.service", "package/perceptd.service.d/b.conf", "own/perceptd.service.d/a.conf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = ["package/perceptd.service", "own/perceptd.service.d/a.conf", "package/perceptd.service.d/b.conf"]
    assert unit_files([package, own]) == [tmp_path / name for name in names]
    for name in ("own/perceptd.service", "own/perceptd.service.d/b.conf"):
        (tmp_path / name).touch()
    names = ["own/perceptd.service", "own/perceptd.service.d/a.conf", "own/perceptd.service.d/b.conf"]
    assert unit_files([package, own]) == [tmp_path / name for name in names]
