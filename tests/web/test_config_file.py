"""The config of the node, as the page reads and writes it."""

import os
import stat
from pathlib import Path

import pytest

from daemon.web import config_file
from daemon.web.answers import Problem
from tests.helpers.page import serving_page

TEXT = "node: hall\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_a_file_is_replaced_and_the_one_before_stays_beside_it(config: Path) -> None:
    text, tag = config_file.read(config)
    assert text == TEXT
    backup = config_file.write(config, "node: door\n", tag)
    assert (config.read_text(), backup.read_text()) == ("node: door\n", TEXT)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (config, backup)] == [0o640, 0o640]
    assert sorted(path.name for path in config.parent.iterdir()) == ["config.yaml", "config.yaml.before"]


def test_what_somebody_else_has_written_meanwhile_is_not_overwritten(config: Path) -> None:
    _, tag = config_file.read(config)
    config.write_text("node: kitchen\n")
    with pytest.raises(Problem, match="has changed since it was read"):
        config_file.write(config, "node: door\n", tag)
    assert config.read_text() == "node: kitchen\n"


def test_a_link_leads_to_the_file_that_is_replaced(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(config)
    config_file.write(link, "node: door\n", None)
    assert link.is_symlink()
    assert config.read_text() == "node: door\n"


@pytest.mark.parametrize("content", [b"\xff", b"x" * (config_file.MOST_BYTES + 1)])
def test_a_file_that_the_page_cannot_edit_is_named(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(Problem, match=str(config)):
        config_file.read(config)


def test_only_a_file_of_this_user_and_group_is_writable(config: Path, tmp_path: Path) -> None:
    assert config_file.is_writable(config)
    assert not config_file.is_writable(tmp_path)
    assert not config_file.is_writable(tmp_path / "none.yaml")
    if os.geteuid() == 0:
        os.chown(config, 0, 1)  # the daemon's group reads it, and could not read what replaces it
        assert not config_file.is_writable(config)


def test_a_config_is_checked_and_written_only_when_confirmed(config: Path, tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        owner = page.session()
        page.daemon.told["config"] = ({"path": str(config), "text": "redacted", "problems": []}, None)
        shown = page.ask("GET", "/api/config", cookie=owner).json
        assert (shown["text"], shown["writable"]) == (TEXT, True)
        page.daemon.told["config_check"] = ({"problems": [{"line": 1, "text": "node: missing"}]}, None)
        refused = page.ask("POST", "/api/config", {"text": "x: 1\n", "confirm": True}, cookie=owner)
        assert (refused.status, refused.json["problems"]) == (422, [{"line": 1, "text": "node: missing"}])
        page.daemon.told["config_check"] = ({"problems": []}, None)
        checked = page.ask("POST", "/api/config", {"text": "node: door\n"}, cookie=owner)
        assert (checked.status, checked.json) == (200, {"problems": []})
        assert config.read_text() == TEXT
        new = {"text": "node: door\n", "confirm": True, "tag": shown["tag"]}
        assert page.ask("POST", "/api/config", new, cookie=owner).json["backup"] == f"{config}.before"
        assert config.read_text() == "node: door\n"
        assert page.ask("POST", "/api/config", new, cookie=owner).status == 409


def test_a_config_that_the_page_may_not_write_is_shown_redacted(tmp_path: Path) -> None:
    with serving_page(tmp_path) as page:
        owner = page.session()
        told = {"path": "/none/config.yaml", "text": "password: '***'\n", "problems": []}
        page.daemon.told |= {"config": (told, None), "config_check": ({"problems": []}, None)}
        assert page.ask("GET", "/api/config", cookie=owner).json == {**told, "writable": False}
        reply = page.ask("POST", "/api/config", {"text": "x: 1\n", "confirm": True}, cookie=owner)
        assert (reply.status, "edit it on the device" in reply.reason) == (403, True)
