"""Types the commands of the pages in a guest, as a person who has an account there and may use sudo."""

import re
from collections.abc import Mapping, Sequence

from tests.docs.pages import block
from tests.helpers.nspawn import Guest
from tests.helpers.terminal import AtTerminal

USER = "sam"

# how the blocks begin that the journey types, by page; tests/docs/test_typed.py compares them with the pages
TYPED = {
    "getting-started.md": (
        "sudo apt install ./",
        "sudo apt-get install mosquitto",
        "$ mosquitto_pub",
        "sudo perceptd check-config",
        "mkdir -p ~/.config/perceptd",
        "$ cd",
        "mosquitto_sub",
        "sudo perceptd page --link",
        "$ perceptd send mute",
    ),
    "setup.md": ("sudo perceptd setup --yes", "sudo cp /etc/perceptd"),
    "packages.md": ("gpg --batch", "sudo wget"),
    "operations.md": ("sudo apt install ./perceptd_0.9.0", "sudo apt remove"),
}


class Person:
    """A person at a terminal of the guest, whose shell is bash."""

    def __init__(self, guest: Guest, replacing: Mapping[str, str]) -> None:
        """Create the account. `replacing` are words of the pages that stand for something of the reader's own."""
        self._guest, self._replacing = guest, dict(replacing)
        guest.run("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", USER)
        guest.write(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL) NOPASSWD: ALL\n")

    def replace(self, word: str, own: str) -> None:
        """Type something else for a word of the pages from now on."""
        self._replacing[word] = own

    def at(self, script: str) -> AtTerminal:
        """Return a terminal in which the person runs commands, at home."""
        return AtTerminal(self._guest.command("runuser", "--login", USER, "--command", f"set -e; {script}"))

    def types(
        self,
        page: str,
        first_line: str,
        answers: Sequence[tuple[str, str]] = (),
        line: str = "",
        before: str = "",
        after: str = "",
        timeout_s: float | None = None,
    ) -> str:
        """Type the commands of a block of docs/<page>, and return what was shown. Each must succeed.

        `line` is how the only line begins that is typed. `answers` are prompts, and what is typed then. `before` and
        `after` stand before the first line and after the last one.
        """
        with self.at(f"{before}{self._commands(page, first_line, line)}{after}\n") as terminal:
            for prompt, line in answers:
                terminal.answer(prompt, line)
            code = terminal.wait(timeout_s)
            assert code == 0, f"{page}, {first_line}: exit code {code}\n{terminal.shown}"
            return terminal.shown

    def _commands(self, page: str, first_line: str, line: str) -> str:
        text = commands_of(page, first_line, line)
        for word, own in self._replacing.items():
            text = text.replace(word, own)
        return text


def commands_of(page: str, first_line: str, line: str = "") -> str:
    """Return the commands of a block of docs/<page>, or the only line that begins like this.

    Where the block shows what they print, they are the lines with a prompt.
    """
    assert first_line in TYPED[page], f"{page}, {first_line}: add it to TYPED"
    text = block(page, first_line)
    if prompted := re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        text = "\n".join(prompted)
    if line:
        (text,) = re.findall(f"^{re.escape(line)}.*$", text, re.MULTILINE)
    return text.strip()
