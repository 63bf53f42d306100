"""The end of a setup: the page, the start of the service, and where to look."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.core.errors import Refused
from daemon.setup.asking import Terminal, ask_secret, ask_yes
from daemon.setup.commands import LINK_LASTS, Commands, page_link, set_page_password
from daemon.setup.service import Systemd

# recognises: it runs, and its sources deliver. failed: it was started, and does not. left: nobody wanted it started.
# absent: there is no service for this config
ServiceState = Literal["recognises", "failed", "left", "absent"]


@dataclass(frozen=True, slots=True)
class Finish:
    """How a setup ends. `is_service`: the config is that of the service, which systemd runs."""

    terminal: Terminal
    commands: Commands
    systemd: Systemd
    config: Path
    is_service: bool

    def set_password(self, given: str) -> bool:
        """Set the page's password; return whether that was possible."""
        self.terminal.say("setting the password of the page ...")
        try:
            set_page_password(self.commands, self.config, given)
        except Refused as error:
            self.terminal.say(f"  the password of the page was not set: {error}")
            return False
        self.terminal.say("the password of the page is set")
        return True

    def ask_password(self) -> None:
        """Set a password of the page that somebody types, or none."""
        while True:
            question = "Password for the page in a browser (not shown; Enter: none, a link will do)"
            typed = ask_secret(self.terminal, question, has_before=False)
            if not typed:
                return
            if ask_secret(self.terminal, "The same again", has_before=False) != typed:
                self.terminal.say("  The two are not the same. Please answer again.")
                continue
            if self.set_password(typed):
                return

    def start(self, *, starts: bool, asks: bool, ran: bool) -> ServiceState:
        """Start the service, and wait until it recognises. `ran`: it ran before, so it runs again in any case."""
        if not self.is_service:
            return "absent"
        enables = starts and (not asks or ask_yes(self.terminal, START, default=True, has_before=False))
        if not enables and not ran:
            return "left"
        self.terminal.say("starting the service ...")
        try:
            self.systemd.start(enables=enables)
            self.terminal.say(f"the service runs: {self.systemd.wait_until_it_recognises(self._say_indented)}")
        except Refused as error:
            self.terminal.say(str(error))
            if lines := self.systemd.last_log():
                self.terminal.say("its log ends with:")
                for line in lines:
                    self._say_indented(line)
            self.terminal.say("all of its log: sudo journalctl -u perceptd -n 50")
            return "failed"
        return "recognises"

    def _say_indented(self, text: str) -> None:
        self.terminal.say(f"  {text}")

    def link(self) -> str | None:
        """Return a link to the page that logs in; None where the page cannot be used, which is told."""
        self.terminal.say("making a link to the page ...")
        try:
            link, remark = page_link(self.commands, self.config)
        except Refused as error:
            self.terminal.say(f"no link to the page: {error}")
            return None
        if remark:
            self.terminal.say(f"the page has a link, {remark}")
        return link

    def tell(self, state: ServiceState, link: str | None) -> None:
        """Say where to look, and what to do next."""
        say = self.terminal.say
        if self.is_service:
            sudo, option = "sudo ", ""
            if state == "left":
                say("start it   sudo systemctl enable --now perceptd")
        else:
            sudo, option = "", f" --config {shlex.quote(str(self.config))}"
            say(f"run it     perceptd run{option}")
            say(f"its page   perceptd page{option}")
        say(f"watch it   {sudo}perceptd watch{option}")
        if link is not None:
            say(f"open it    {link}\n           {LINK_LASTS} Another one: {sudo}perceptd page --link{option}")
        if self.is_service:
            say("its log    sudo journalctl -fu perceptd")
        say(f'teach it   {sudo}perceptd teach "kettle boils"{option}')
        say(f"change it  {sudo}perceptd setup{option}")


START = "Start the service now, and at every boot?"
