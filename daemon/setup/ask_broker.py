"""Asks for the broker, and for the account of the node there."""

from dataclasses import replace
from typing import Literal

from daemon.config.mqtt import host_and_port
from daemon.core.text import redact
from daemon.setup.answers import MQTT_PORT, NONE, TLS_PORT, password
from daemon.setup.answers import broker as read_broker
from daemon.setup.asking import Option, Terminal, ask, ask_secret, ask_yes, choose
from daemon.setup.choices import Choices
from daemon.setup.finder import Finder
from daemon.setup.found import FoundBroker, SearchFailed

Marker = Literal["keep", "other"]

WHERE = {"mdns": "announced on the network", "localhost": "on this machine", "home-assistant": "Home Assistant's"}

GET_ONE = (
    "  No broker was found. On this machine you get one by: sudo apt-get install mosquitto\n"
    "  docs/getting-started.md tells how to give it a login."
)


class BrokerQuestions:
    """The questions about the broker."""

    def __init__(self, terminal: Terminal, finder: Finder) -> None:
        self._terminal = terminal
        self._finder = finder
        # of the latest answer; None: not known
        self._needs_login: bool | None = None

    def address(self, choices: Choices) -> Choices:
        """Ask for the broker's address, and whether it uses TLS."""
        shown = " or ".join(host_and_port(host, choices.port) for host in choices.hosts)
        found = self._found()
        options: list[Option[FoundBroker | Marker]] = [Option(_label(each), each) for each in found]
        if not any((each.host,) == choices.hosts and each.port == choices.port for each in found):
            # the search asks this address itself
            is_silent = choices.hosts == ("127.0.0.1",) and choices.port == MQTT_PORT
            options.insert(0, Option(f"{shown}, where none answers now" if is_silent else shown, "keep"))
        options.append(Option("another, by its address", "other"))
        chosen = choose(self._terminal, "To which MQTT broker does it publish?", options)
        self._needs_login = None
        if chosen == "keep":
            return self._tls(choices)
        if isinstance(chosen, FoundBroker):
            self._needs_login = chosen.needs_login
            if (chosen.host,) == choices.hosts and chosen.port == choices.port:
                return self._tls(choices) if choices.tls or chosen.tls else choices
            choices = replace(choices, hosts=(chosen.host,), port=chosen.port, tls=chosen.tls, ca_file=None)
            return self._tls(choices) if chosen.tls else choices
        host, port = ask(self._terminal, "Address of the broker, as HOST or HOST:PORT", "", read_broker)
        return self._tls(replace(choices, hosts=(host,), port=port or choices.port))

    def login(self, choices: Choices) -> Choices:
        """Ask for user and password at the broker. An empty password keeps the one that the config has."""
        wants_none = self._needs_login is False and choices.username is None
        default = choices.username or (NONE if wants_none else choices.node)
        user = ask(self._terminal, f"User name of this node at the broker, or {NONE}", default, str)
        if user == NONE:
            return replace(choices, username=None, password=None)
        is_same = user == choices.username
        how = "not shown; Enter: as before" if is_same else "not shown"
        while True:
            typed = ask_secret(self._terminal, f"Password of {user} at the broker ({how})")
            if not typed and is_same:
                return choices
            try:
                return replace(choices, username=user, password=password(typed))
            except ValueError as error:
                self._terminal.say(f"  {error}")

    def _found(self) -> list[FoundBroker]:
        self._terminal.say("looking for brokers ...")
        try:
            found = self._finder.brokers()
        except SearchFailed as error:
            self._terminal.say(f"  {redact(str(error))}")
            return []
        if not found:
            self._terminal.say(GET_ONE)
        return found

    def _tls(self, choices: Choices) -> Choices:
        default = choices.tls or choices.port == TLS_PORT
        if not ask_yes(self._terminal, "Is the connection to it encrypted (TLS)?", default=default):
            return replace(choices, tls=False, ca_file=None)
        question = "File with its certificate authority, or system for those of this machine"
        file = ask(self._terminal, question, choices.ca_file or "system", str)
        return replace(choices, tls=True, ca_file=None if file == "system" else file)


def _label(found: FoundBroker) -> str:
    login = {True: ", asks for a login", False: ", without a login", None: ""}[found.needs_login]
    tls = ", with TLS" if found.tls else ""
    return f"{host_and_port(found.host, found.port)} ({WHERE[found.found_by]}{login}{tls})"
