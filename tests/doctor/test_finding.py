"""Findings as text and JSON, and exit codes."""

import pytest

from daemon.doctor.finding import Finding, Level, exit_code


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], 0),
        (["good", "good"], 0),
        (["good", "warning"], 1),
        (["failure", "warning", "good"], 2),
    ],
)
def test_exit_codes(levels: list[Level], expected: int) -> None:
    assert exit_code([Finding("some", level, "thing") for level in levels]) == expected


def test_a_finding_is_one_line_with_what_to_do() -> None:
    assert Finding("clock", "good", "synchronised").line() == "ok    clock             synchronised"
    line = Finding("config", "failure", "a: wrong\nb: wrong", "correct it").line()
    assert line == "FAIL  config            a: wrong b: wrong; correct it"


def test_credentials_are_removed() -> None:
    finding = Finding("door/camera", "warning", "rtsp://me:s3cret@host/live", "see rtsp://me:s3cret@host/live")
    assert "s3cret" not in finding.line() + str(finding.to_json())
    assert finding.to_json()["found"] == "rtsp://***@host/live"
