"""What privacy.md and regulatory-scope.md say of the program is what the program does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.bundle.ml_bom_file import read_card
from daemon.cli.parser import new_parser
from daemon.config.history import HistoryConfig
from daemon.config.mqtt import OutboxConfig
from daemon.config.node import HISTORY, MODELS, TEACHING, Config
from daemon.config.page import PageConfig
from daemon.config.places import PAGE_STATE, SERVICE_CONFIG, SERVICE_STATE
from daemon.config.teaching import TeachingConfig
from daemon.config.updates import ModelsConfig
from daemon.teaching.journal import UNDO_S
from daemon.teaching.records import MAX_BACKGROUND_OF_STREAM, MAX_PEAK_AGE_S, MAX_PEAKS
from daemon.web import accounts_file
from daemon.web.accounts import DAY_S, IDLE_S, KNOWN_S, LONGEST_S
from tests.docs.pages import DOCS, ROOT, rows, sections

PRIVACY = sections("privacy.md")
KEPT = rows(PRIVACY["What is kept where"])
MINIMAL: dict[str, Any] = {"node": "n", "bundle": "b", "streams": {"hall": {"camera": {"device": 0}}}}

# a snippet of config.yaml in the text of a page: a key of the first level with a value
SNIPPET = re.compile(r"`((?:history|teaching|models|metrics|page|mqtt|text): (?:\{[^`]*\}|null))`")


def how_long(where: str) -> str:
    """Return how long something is kept, by its row of the page."""
    (found,) = (row[2] for row in KEPT if where in row[1] or where in row[0])
    return found


def test_the_places_are_those_of_the_program() -> None:
    named = {path for row in KEPT for path in re.findall(r"`(/[^`]+)`", row[1])}
    assert named == {
        f"{SERVICE_STATE}/outbox.sqlite3",
        str(SERVICE_STATE),
        f"{SERVICE_STATE}/{MODELS}",
        "/var/lib/perceptd-bundles",
        f"{SERVICE_STATE}/{TEACHING}/teaching.db",
        f"{SERVICE_STATE}/{HISTORY}",
        f"{PAGE_STATE}/{accounts_file.NAME}",
        str(SERVICE_CONFIG.parent),
    }
    listed = (DOCS / "operations.md").read_text()
    for name in ("outbox.sqlite3", "switches.json", "device_id", "announced.json", "teaching/teaching.db", "history/"):
        assert f"| `{name}" in listed


def test_the_times_and_amounts_are_those_of_the_program() -> None:
    assert f"{OutboxConfig().max_age_h / 24:.0f} days by default" in how_long("outbox.sqlite3")
    history = HistoryConfig()
    assert how_long("perceptd/history").startswith(
        f"{history.max_age_days:.0f} days, and {history.quota_mb / 1000:.0f} GB, by default"
    )
    assert UNDO_S == 3600
    assert "brought back for an hour" in how_long("teaching.db")
    assert f"{MAX_BACKGROUND_OF_STREAM:,} of each stream at most" in how_long("background:")
    peaks = how_long("embeddings of the strongest moments")
    assert peaks == f"{MAX_PEAK_AGE_S / DAY_S:.0f} days, {MAX_PEAKS:,} at most"
    assert how_long(accounts_file.NAME) == (
        f"a login {IDLE_S / DAY_S:.0f} days after its latest use, {LONGEST_S / DAY_S:.0f} at most; "
        f"a network {KNOWN_S / DAY_S:.0f} days"
    )


def test_what_the_page_calls_off_is_off_by_default() -> None:
    config = Config.model_validate(MINIMAL)
    assert (config.history, config.metrics, config.models.source) == (None, None, None)
    assert not HistoryConfig().publish_snapshots
    assert config.teaching.enabled, "and the page says that it is on"
    assert "Teaching is on by default" in PRIVACY["What is kept where"]
    assert re.search(r"^ListenStream=127\.0\.0\.1:", (ROOT / "systemd/perceptd-page.socket").read_text(), re.MULTILINE)
    for unit in ("perceptd", "perceptd-page"):
        text = (ROOT / f"systemd/{unit}.service").read_text()
        assert "LimitCORE=0" in text
        assert "StateDirectoryMode=0700" in text


@pytest.mark.parametrize("page", ["privacy.md", "regulatory-scope.md"])
def test_the_switches_of_a_page_are_keys_of_the_config(page: str) -> None:
    snippets = SNIPPET.findall((DOCS / page).read_text())
    assert snippets
    for snippet in snippets:
        value = yaml.safe_load(snippet.replace("…", "x"))
        if "text" in value:
            value = {"streams": {"hall": {"camera": {"device": 0}, **value}}}
        if "models" in value:
            value["models"]["source"] = "https://models.example"
            value["models"]["root"] = "root.json"
        assert Config.model_validate({**MINIMAL, **value}), snippet


def test_the_keys_that_the_form_names_exist() -> None:
    text = (DOCS / "privacy.md").read_text()
    models = {
        HistoryConfig: ["max_age_days", "quota_mb", "publish_snapshots", "speech"],
        OutboxConfig: ["max_age_h"],
        TeachingConfig: ["pictures", "sounds"],
        ModelsConfig: ["source"],
        PageConfig: [],
    }
    for model, keys in models.items():
        for key in keys:
            assert key in text
            assert key in model.model_fields


@pytest.mark.parametrize("page", ["privacy.md", "regulatory-scope.md", "security.md", "../SECURITY.md"])
def test_the_commands_of_a_page_are_accepted(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).resolve().read_text()
    commands = re.findall(r"`(?:sudo )?perceptd ((?:history|teach|verify|setup|bundle get)[^`]*)`", text)
    for command in commands:
        words = command.replace("…", "today").replace(" ID", " 3f9a1c7e").split()
        actions = {"teach": 2, "history": 2, "bundle": 2}
        if len(words) <= actions.get(words[0], 1):
            words.append("--help")
        new_parser_accepts(words)


def new_parser_accepts(words: list[str]) -> None:
    try:
        new_parser().parse_args(words)
    except SystemExit as end:
        assert end.code == 0, words


def test_the_figure_of_the_intended_purpose_is_that_of_the_card() -> None:
    text = (DOCS / "regulatory-scope.md").read_text()
    card = yaml.safe_load((ROOT / "models/home/card.yaml").read_text())
    own = {figure["what"]: figure["value"] for figure in card["figures"]}["clips with an event of their own label"]
    assert f"starts the right label in {own} of the clips" in text
    assert "alarm system" in card["purpose"]
    assert (shipped := read_card(ROOT / "models/digits"))
    assert shipped.purpose


def test_the_labels_of_home_that_the_page_warns_of_exist() -> None:
    labels = yaml.safe_load((ROOT / "models/home/recipe.yaml").read_text())["labels"]
    section = sections("regulatory-scope.md")["Labels that must not be taught"]
    (warned,) = (row[0] for row in rows(section) if "of `home`" in row[0])
    assert set(re.findall(r"`(\w+)`", warned)) - {"home"} <= set(labels)


def test_the_messages_of_verify_are_those_of_the_program() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "daemon/publisher").glob("*.py"))
    section = sections("security.md")["Where it comes from"]
    messages = [message for row in rows(section) for message in re.findall(r"`(the [^`]+ differs)`", row[2])]
    assert len(messages) == 4
    for message in messages:
        assert message in sources
