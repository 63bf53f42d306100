"""The files of the container and of the add-on agree with each other, with the program, and with what others expect."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packages.image_context import PACKAGES, addon_config

from daemon.cli.addon import Places
from daemon.cli.addon_config import INGRESS_PROXY, Options
from daemon.cli.container import PROGRAM
from daemon.config.places import SERVICE_CONFIG, SERVICE_STATE
from daemon.web.listening import DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "scripts" / "packages" / "container"
INSTALLED = Path("/opt/perceptd")

# a type of an option, as Supervisor reads it: supervisor/apps/options.py
OPTION = re.compile(
    r"(bool|email|url|port|device(\(subsystem=[a-z]+\))?|(str|password|int)(\(\d*,\d*\))?|float(\([\d.]*,[\d.]*\))?"
    r"|match\(.*\)|list\(.+\))\??"
)
# the keys of an add-on that are used here, with the types that Supervisor's schema has for them
KEYS: dict[str, type] = {
    "name": str,
    "version": str,
    "slug": str,
    "description": str,
    "arch": list,
    "startup": str,
    "boot": str,
    "init": bool,
    "timeout": int,
    "services": list,
    "ingress": bool,
    "ingress_port": int,
    "panel_icon": str,
    "panel_title": str,
    "video": bool,
    "audio": bool,
    "usb": bool,
    "devices": list,
    "map": list,
    "backup": str,
    "backup_exclude": list,
    "options": dict,
    "schema": dict,
}


def parsed(name: str) -> Any:
    return yaml.safe_load((CONTAINER / name).read_text(encoding="utf-8"))


def instructions(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage of the Containerfile, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    current = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            current = rest.rpartition(" AS ")[2]
        found.setdefault(current, []).append((word, rest.strip()))
    return found[stage]


def only(stage: str, word: str) -> str:
    (found,) = [rest for each, rest in instructions(stage) if each == word]
    return found


def test_the_image_is_no_root_and_has_one_volume() -> None:
    uid, _, gid = only("perceptd", "USER").partition(":")
    assert uid == gid != "0"
    assert only("perceptd", "VOLUME") == "/data"
    made = " ".join(rest for word, rest in instructions("perceptd") if word == "RUN")
    assert f"perceptd:x:{uid}:{gid}:" in made
    # the commands find the config and the state where they are on a device
    assert f"ln -s /data/config {SERVICE_CONFIG.parent}" in made
    assert f"ln -s /data/state {SERVICE_STATE}" in made
    assert "STATE_DIRECTORY=/data/state" in only("perceptd", "ENV")


@pytest.mark.parametrize(
    ("stage", "word", "module"),
    [
        ("perceptd", "HEALTHCHECK", "daemon.cli.container"),
        ("perceptd", "CMD", "daemon.cli.container"),
        ("addon", "CMD", "daemon.cli.addon"),
    ],
)
def test_its_programs_are_there(stage: str, word: str, module: str) -> None:
    command = only(stage, word).partition("[")[2]
    assert f'"{INSTALLED}/.venv/bin/python3", "-m", "{module}"' in command
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_the_page_has_one_port_everywhere() -> None:
    assert only("perceptd", "EXPOSE") == str(DEFAULT_PORT)
    assert parsed("addon/config.yaml")["ingress_port"] == DEFAULT_PORT
    assert f"127.0.0.1:{DEFAULT_PORT}:{DEFAULT_PORT}" in parsed("compose.yaml")["services"]["perceptd"]["ports"]


def test_compose_holds_the_container_to_what_the_image_promises() -> None:
    compose = parsed("compose.yaml")
    perceptd = compose["services"]["perceptd"]
    assert perceptd["read_only"] is True
    assert perceptd["cap_drop"] == ["ALL"]
    assert perceptd["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in perceptd, "that of the image"
    # what the program writes beside the volume: films for browsers in /var/tmp, models in trial in /tmp
    assert perceptd["tmpfs"] == ["/tmp", "/var/tmp"]
    named = [volume.partition(":")[0] for each in compose["services"].values() for volume in each["volumes"]]
    assert {name for name in named if not name.startswith(".")} == set(compose["volumes"])
    for name in named:
        if name.startswith("./") and not name.endswith(".passwords"):
            assert (CONTAINER / name).is_file()
    for port in [port for each in compose["services"].values() for port in each["ports"]]:
        assert port.startswith("127.0.0.1:"), "nothing is open to the network by itself"


def test_the_devices_that_compose_names_are_those_of_the_service() -> None:
    text = (CONTAINER / "compose.yaml").read_text()
    for device in ("/dev/video0", "/dev/snd", "/dev/bus/usb", "/dev/apex_0", "/dev/dri/renderD128"):
        assert f"#   - {device} " in text


def test_the_broker_has_the_access_list_of_the_page_on_security() -> None:
    page = (ROOT / "docs/security.md").read_text()
    (documented,) = re.findall(r"^# /etc/mosquitto/perceptd\.acl\n\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shipped = (CONTAINER / "mosquitto/perceptd.acl").read_text().partition("\n\n")[2]
    blocks = [block.strip() for block in re.split(r"\n\n(?=#)", shipped)]
    for block in blocks:
        # the page names its node hall, and the first config of a container is of the node demo
        assert block.replace("demo", "hall") in documented
    listener = (CONTAINER / "mosquitto/mosquitto.conf").read_text()
    assert "allow_anonymous false" in listener
    assert "acl_file /mosquitto/config/perceptd.acl" in listener


def test_supervisor_accepts_the_add_on() -> None:
    addon = parsed("addon/config.yaml")
    assert {key: type(value) for key, value in addon.items()} == KEYS
    assert re.fullmatch(r"[-_.A-Za-z0-9]+", addon["slug"])
    assert set(addon["arch"]) == {"amd64", "aarch64"}
    assert (addon["startup"], addon["boot"], addon["backup"]) == ("application", "auto", "cold")
    assert 10 <= addon["timeout"] <= 300
    assert addon["services"] == ["mqtt:need"]
    assert addon["map"] == [{"type": "addon_config", "read_only": True}]
    for kind in addon["schema"].values():
        assert OPTION.fullmatch(kind)
    # an option with a default must be required, and one without may be left out
    for name, kind in addon["schema"].items():
        assert kind.endswith("?") is (name not in addon["options"])


def test_the_add_on_gets_the_version_of_the_program_and_the_processors_that_it_is_for() -> None:
    text = addon_config((CONTAINER / "addon/config.yaml").read_text(), "1.2.3", ["aarch64"])
    written = yaml.safe_load(text)
    assert written == parsed("addon/config.yaml") | {"version": "1.2.3", "arch": ["aarch64"]}


def test_the_evidence_names_what_the_image_installs() -> None:
    made = " ".join(rest for word, rest in instructions("perceptd") if word == "RUN")
    assert f"install --yes --no-install-recommends {' '.join(PACKAGES)} " in re.sub(r" +", " ", made)


def test_the_options_of_the_add_on_are_those_that_it_reads() -> None:
    addon = parsed("addon/config.yaml")
    assert set(addon["schema"]) == set(Options.model_fields)
    assert Options.model_validate(addon["options"])
    for name in ("bundle", "log_level"):
        for value in addon["schema"][name].removeprefix("list(").removesuffix(")").split("|"):
            assert Options.model_validate({**addon["options"], name: value})
    accepted = re.compile(addon["schema"]["node"].removeprefix("match(").removesuffix(")"))
    for node in ("home", "küche", "a/b", "a b", "", "x" * 65, "#", "+"):
        problem = None
        try:
            Options.model_validate({**addon["options"], "node": node})
        except ValueError as error:
            problem = error
        assert (problem is None) is (accepted.search(node) is not None), node


@pytest.mark.parametrize("language", ["en", "de"])
def test_each_option_has_a_name_in_each_language(language: str) -> None:
    translated = parsed(f"addon/translations/{language}.yaml")["configuration"]
    assert list(translated) == list(parsed("addon/config.yaml")["schema"])
    assert all(each["name"] for each in translated.values())


def test_the_add_on_asks_for_no_more_than_it_needs() -> None:
    addon = parsed("addon/config.yaml")
    unwanted = {"host_network", "full_access", "privileged", "hassio_api", "homeassistant_api", "docker_api", "ports"}
    assert not unwanted & set(addon)


def test_the_documentation_names_the_paths_and_the_proxy_of_the_program() -> None:
    documentation = (CONTAINER / "addon/DOCS.md").read_text(encoding="utf-8")
    assert INGRESS_PROXY in documentation
    assert Places().own_config.name in documentation
    assert Places().models == PROGRAM / "models"
    # Supervisor searches a repository for config.yaml: the person's file has another name
    assert Places().own_config.name != "config.yaml"
