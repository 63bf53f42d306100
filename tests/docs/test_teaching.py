"""docs/teaching.md quotes the report and the limits as the program has them."""

import re

import pytest

from daemon.bundle.taught import MAX_NAME, MAX_TAUGHT
from daemon.cli.parser_teach import ACTIONS, MAX_AGO_S, MAX_SECONDS
from daemon.cli.teach_media import MAX_EXAMPLE_S
from daemon.config.teaching import TeachingConfig
from daemon.teaching.records import MAX_EXAMPLES, MAX_EXAMPLES_OF_LABEL, MAX_PEAKS, NEEDED_BACKGROUND
from tests.docs.pages import DOCS, rows, sections, strings

PAGE = (DOCS / "teaching.md").read_text(encoding="utf-8")

# what a report has in the place of a figure, an id, a label, a stream or a sense
FILLED = re.compile(r"\b(?:\d+(?:\.\d+)?(?: h)?|[0-9a-f]{8}|tap runs|rooster|kitchen|picture|sound|heard|presses)\b")

QUOTED = [
    quoted for says, *_ in rows(sections("teaching.md")["The report"]) for quoted in re.findall(r"`([^`]+)`", says)
]


@pytest.mark.xdist_group("messages")  # one process reads the sources
@pytest.mark.parametrize("quoted", QUOTED)
def test_what_a_report_says_occurs_in_the_sources(quoted: str) -> None:
    for fragment in filter(str.strip, FILLED.split(quoted)):
        assert fragment.strip() in strings(), fragment


def test_the_page_quotes_reports_and_names_each_action() -> None:
    assert len(QUOTED) > 8
    for action in set(ACTIONS) - {"press", "fit"}:
        assert re.search(rf"`?(?:perceptd teach )?{action}\b", PAGE), action


def test_the_figures_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"From {NEEDED_BACKGROUND} moments on" in text
    assert f"{MAX_EXAMPLES_OF_LABEL} of each label, {MAX_EXAMPLES:,} of all" in text
    assert f"| 7 days | {MAX_PEAKS:,} |" in text
    assert f"At most {MAX_TAUGHT} labels can be taught. A label has 1 to {MAX_NAME} characters" in text
    assert f"It is {TeachingConfig().false_alarms_a_day:g} by default" in text
    assert (MAX_SECONDS, MAX_AGO_S, MAX_EXAMPLE_S) == (5, 10, 5)
    assert "Of a sound longer than 5 seconds the loudest 5 seconds" in text
