"""The commands that README.md and the pages show can be typed so: their names, options and arguments exist."""

import re
import shlex

import demo
import pytest

from daemon.cli.parser import parse
from tests.docs.pages import DOCS, ROOT

# within a block of code, after a prompt, and after sudo or sudo -u USER
COMMAND = re.compile(
    r"^(?:\$ )?(?:sudo )?(?:-u \w+ )?(perceptd|scripts/run)(?: (?!is installed)([a-z-].*))?$", re.MULTILINE
)
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SHOWN = sorted(
    {
        (page.name, program, arguments.split(" #")[0].strip())
        for page in PAGES
        for block in BLOCK.findall(page.read_text(encoding="utf-8").replace("\\\n", " "))
        for program, arguments in COMMAND.findall(block)
        if "[" not in arguments  # a synopsis
    }
)


def test_the_pages_show_commands() -> None:
    assert ("README.md", "perceptd", "setup") in SHOWN
    assert ("README.md", "scripts/run", "--bundle home") in SHOWN


@pytest.mark.parametrize(("page", "program", "arguments"), SHOWN)
def test_a_command_of_a_page_is_accepted(page: str, program: str, arguments: str) -> None:
    given = shlex.split(arguments)
    if program == "scripts/run":
        demo.new_parser().parse_args(given)
    else:
        parse(given)
