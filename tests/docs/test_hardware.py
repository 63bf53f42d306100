"""docs/hardware.md, the schema of a report and the words of our messages are those that the script writes."""

import json

import hardware_pages

from daemon.doctor.hardware import words
from daemon.doctor.hardware.words import OWN_WORDS

AGAIN = "write it again: cd scripts && ../.venv-test/bin/python -m hardware_pages"


def test_the_page_is_made_of_the_reports() -> None:
    assert hardware_pages.PAGE.read_text(encoding="utf-8") == hardware_pages.page(hardware_pages.reports()), AGAIN


def test_the_schema_is_that_of_the_code() -> None:
    path = hardware_pages.FOLDER / "report.schema.json"
    assert path.read_text(encoding="utf-8") == hardware_pages.schema(), AGAIN


def test_the_words_are_those_of_our_messages() -> None:
    assert OWN_WORDS.read_text(encoding="utf-8") == hardware_pages.own_words(), AGAIN


def test_the_reports_have_known_words_alone() -> None:
    assert hardware_pages.reports()
    for _, report in hardware_pages.reports():
        said = [each.found for each in report.findings] + [
            each.said for each in (*report.accelerators, *report.decoders)
        ]
        for text in filter(None, said):
            assert words.message(text) == text
        json.loads(report.model_dump_json())


def test_what_was_not_seen_says_so() -> None:
    page = hardware_pages.page([])
    for asked, _ in (*hardware_pages.ASKED, *hardware_pages.TPUS):
        assert f"| {asked} | {hardware_pages.NOT_SEEN} |" in page
