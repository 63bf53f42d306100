"""The messages that the pages quote in their tables of symptoms occur in the sources."""

import re

import pytest

from tests.docs.pages import DOCS, ROOT, block, rows, sections, strings

SYSTEMD = "(systemd)"
NO_MESSAGE = re.compile(r"perceptd |systemctl|status=")

pytestmark = pytest.mark.xdist_group("messages")  # one process reads the sources


HEADERS = re.compile(r"^\| (Symptom|Message) \|", re.MULTILINE)
TABLES = [
    section
    for page in ("troubleshooting.md", "container.md", "history.md", "own-models.md", "page.md", "setup.md")
    for section in sections(page).values()
    if HEADERS.search(section)
]
QUOTED = [
    quoted
    for section in TABLES
    for symptom, *_ in rows(section)
    if SYSTEMD not in symptom
    for quoted in re.findall(r"`([^`]+)`", symptom)
    if not NO_MESSAGE.match(quoted)
]


def test_the_tables_quote_messages() -> None:
    assert len(QUOTED) > 50


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_occurs_in_the_sources(quoted: str) -> None:
    for fragment in filter(None, re.split(r"…|\(…\)", quoted)):
        assert fragment in strings(), fragment


def test_a_quoted_line_of_the_log_names_the_module_that_writes_it() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    lines = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:INFO|WARNING|ERROR) (.*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        module, _, message = line.partition(": ")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert any(word in source for word in message.split() if len(word) > 7), line


def test_the_setup_that_getting_started_shows_asks_what_setup_asks() -> None:
    shown = "".join(block("getting-started.md", begin) for begin in ("This sets up", "wrote /"))
    begins = re.findall(r"^(?: +\d+)? *([A-Za-z]+(?: [a-z]+)?)", shown, re.MULTILINE)
    assert len(begins) > 30
    for begin in begins:
        assert begin in strings(), begin
