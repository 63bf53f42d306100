"""What a command line says that lacks a value, or names no command of perceptd."""

from pathlib import Path

import pytest

from daemon.cli.parser import parse


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            ["doctor", "--config"],
            "perceptd doctor: error: --config needs a value: --config FILE; default: ./config.yaml",
        ),
        (["setup", "--camera", "--yes"], "--camera needs a value: --camera DEVICE; 0, /dev/video0, rtsp://HOST/PATH"),
        (
            ["teach", "kettle", "--files"],
            "--files needs a value: --files FILE; sounds and pictures that show the label",
        ),
        (["history", "export", "--out"], "--out needs a value: --out DIR; the directory"),
        (["status"], "no command status; of the service: systemctl status perceptd, and: sudo perceptd doctor"),
        (["restart"], "there is no command restart; of the service: sudo systemctl restart perceptd"),
        (["statue"], "invalid choice: 'statue'"),
        (["bundle", "status"], "invalid choice: 'status'"),
        (["send"], "the following arguments are required: COMMAND"),
    ],
)
def test_an_option_without_its_value_says_what_the_value_is(
    line: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(line)
    assert message in capsys.readouterr().err


def test_a_report_needs_no_name() -> None:
    assert parse(["doctor", "--report"]).report == Path("perceptd-report.json")
    assert parse(["doctor", "--report", "mine.json"]).report == Path("mine.json")
    assert parse(["doctor"]).report is None
