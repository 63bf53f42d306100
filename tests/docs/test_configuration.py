"""docs/configuration.md describes every key of config.yaml with its default."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from daemon.config.mqtt import Command
from tests.docs.pages import ROOT, block, rows, sections

TEXT = (ROOT / "config.yaml").read_text(encoding="utf-8")
COMMENTED_KEY = re.compile(r"^( *)# ( *(?:[a-z_]+:|- \[\[).*)$", re.MULTILINE)


def by_heading(text: str) -> dict[str, dict[str, Any]]:
    """Return the keys of a config with their values, by the heading of their section on the page."""
    config = yaml.safe_load(text)
    stream = config.pop("streams")["demo"]
    found = {"Top level": {key: value for key, value in config.items() if not isinstance(value, dict)}}
    for name, value in [*config.items(), ("streams.<name>", stream)]:
        found |= _parts(name, value)
    return found


def _parts(name: str, value: object) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or name.endswith((".region", ".thresholds")):
        return {}
    inner = [part for key, below in value.items() for part in _parts(f"{name}.{key}", below).items()]
    return {f"`{name}`": value} | dict(inner)


# all keys, including those in comments
KEYS = by_heading(COMMENTED_KEY.sub(r"\1\2", TEXT))

# the keys outside comments
SET = by_heading(TEXT)
PAGE = sections("configuration.md")


@pytest.mark.parametrize("heading", list(KEYS))
def test_a_section_of_the_page_lists_the_keys_of_the_config(heading: str) -> None:
    described = [cells[0].strip("`") for cells in rows(PAGE[heading])]
    assert described == list(KEYS[heading])


def test_the_page_has_no_sections_for_other_keys() -> None:
    assert [heading for heading in PAGE if heading.startswith("`")] == [name for name in KEYS if name.startswith("`")]


@pytest.mark.parametrize("heading", list(KEYS))
def test_the_page_gives_the_defaults_of_the_config(heading: str) -> None:
    values = KEYS[heading] | SET.get(heading, {})
    for key, default, *_ in rows(PAGE[heading]):
        if default not in ("none", "required", "see below"):
            assert yaml.safe_load(default.strip("`")) == values[key.strip("`")], key


def test_all_commands_that_can_be_forbidden_are_listed() -> None:
    (row,) = (cells for cells in rows(PAGE["`mqtt.commands`"]) if cells[0] == "`forbidden`")
    assert [word.strip("` ") for word in row[2].split(",")] == list(get_args(Command))
    comment = re.search(r"forbidden: \[\] +# commands that are refused: (.*?)\n\n", TEXT, re.DOTALL)
    assert comment is not None
    assert re.findall(r"[a-z_]+", comment[1]) == list(get_args(Command))


def test_the_smallest_config_on_the_page_is_valid(tmp_path: Path) -> None:
    text = block("configuration.md", "node: hall").replace("/opt/perceptd", str(ROOT))
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "mqtt-password").write_text("secret\n")
    command = (sys.executable, "-m", "daemon", "check-config", str(tmp_path / "config.yaml"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.endswith("streams: door\n")) == (0, True), done.stderr
