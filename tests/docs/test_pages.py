"""README.md and docs/: their links resolve, README is short, and the config in setup.md is what setup writes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from daemon.config.node import Config
from daemon.core.document import parse_document
from daemon.setup.choices import Choices, choices_of, merged, values_of
from daemon.setup.config_text import config_text
from tests.docs.pages import block

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README_LINES = 150
GETTING_STARTED_LINES = 250


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_resolves(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < README_LINES


def test_getting_started_is_short() -> None:
    assert len((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8").splitlines()) < GETTING_STARTED_LINES


def test_each_page_is_named_by_readme() -> None:
    named = set(re.findall(r"\]\(docs/([^)#]+\.md)", README.read_text(encoding="utf-8")))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert named == pages


def test_the_rights_of_a_node_beside_others_are_those_of_the_tested_list() -> None:
    rights = block("ways/frigate-birdnet.md", "pattern write perceptd/%u/#").split("\n\n")
    tested = block("security.md", "# /etc/mosquitto/perceptd.acl")
    assert len(rights) == 2
    assert all(part.strip() in tested for part in rights)


def test_the_config_that_setup_writes_on_its_page_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shipped = text.replace("/var/lib/perceptd-bundles/home", str(ROOT / "models" / "digits"))
    (tmp_path / "config.yaml").write_text(shipped, encoding="utf-8")
    (tmp_path / yaml.safe_load(text)["mqtt"]["password_file"]).write_text("secret\n", encoding="utf-8")
    command = [sys.executable, "-m", "daemon", "check-config", str(tmp_path / "config.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.endswith("streams: door\n")) == (0, True), done.stderr
    # and it is what setup writes
    config = parse_document(Path("config.yaml"), text.encode(), Config).document
    values = merged(values_of(config), choices_of(config, Choices("")))
    assert text == config_text(values, "/opt/perceptd/config.yaml")


def test_the_scripts_that_readme_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    scripts = set(re.findall(r"\bscripts/[\w-]+", text))
    assert {"scripts/run", "scripts/test", "scripts/install"} <= scripts
    assert all((ROOT / script).is_file() for script in scripts)
