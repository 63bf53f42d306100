"""Every command of the pages for a beginner is typed by a test: those of the campaign journey, and the ones below."""

import re

import pytest

from tests.docs.pages import blocks
from tests.systemd.typed import TYPED

# what begins a block of commands; other blocks are configs, and what programs print
COMMANDS = re.compile(r"(?:\$ |sudo |mkdir |mosquitto_|perceptd |scripts/|gpg )")

# how the blocks begin that other tests run, by page
ELSEWHERE = {
    # tests/systemd/test_setup.py gives its answers at a terminal
    "getting-started.md": ("sudo perceptd setup\n", "sudo perceptd watch\n"),
    "setup.md": ("sudo perceptd setup\n",),
    # the campaign packages
    "packages.md": ("scripts/package ",),
}


@pytest.mark.parametrize("page", ELSEWHERE)
def test_each_block_of_commands_is_typed_by_a_test(page: str) -> None:
    found = [each for each in blocks(page) if COMMANDS.match(each)]
    typed = (*TYPED[page], *ELSEWHERE[page])
    assert [each for each in found if not each.startswith(typed)] == []
    assert [first for first in typed if not any(each.startswith(first) for each in found)] == []
