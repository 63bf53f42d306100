"""What a setup shows: names of devices and answers of the network cannot act on the terminal."""

import io
import sys
from pathlib import Path

import pytest

from daemon.cli.devices import show
from daemon.cli.main import main
from daemon.cli.setup_terminal import Console, Log
from daemon.core.text import harmless
from daemon.doctor.finding import Finding
from daemon.doctor.report import Report


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two\nlines"),
        ("Küche 厨房", "Küche 厨房"),
        ("\x1b]0;title\x07\x1b[2Jx", "�]0;title��[2Jx"),
        ("\x9b31m\x7f\r\t\u2028", "�31m����"),
        ("a\u202egpj.b\u2066", "a�gpj.b�"),
        ("x" * 5000, "x" * 5000),
    ],
)
def test_only_printable_characters_and_line_ends_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], text: str, shown: str
) -> None:
    assert harmless(text) == shown
    Console().say(text)
    Log(beside_json=True).say(text)
    found = capsys.readouterr()
    assert (found.out, found.err) == (f"{shown}\n", f"{shown}\n")


def test_a_terminal_without_a_character_shows_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    Console().say("Küche 厨房")
    assert written.getvalue() == "Küche ??\n".encode("latin-1")


def test_a_list_of_devices_shows_a_name_that_acts_on_the_terminal_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    show("cameras", ["/dev/video0  (Yard\x1b]52;c;cm0gLXJm\x07)"])
    assert capsys.readouterr().out == "cameras:\n  /dev/video0  (Yard�]52;c;cm0gLXJm�)\n"


def test_a_message_and_a_finding_quote_what_comes_from_outside_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", str(tmp_path / "\x1b[2J.yaml")]) == 78
    Report(as_json=False).take("camera", [Finding("camera", "good", "it says \x1b[2J")])
    shown = capsys.readouterr()
    assert "�[2J.yaml" in shown.err and "it says �[2J" in shown.out
    assert "\x1b" not in shown.out + shown.err
