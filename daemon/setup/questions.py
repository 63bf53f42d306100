"""The questions of a setup, in their order. `<` goes back to the one before."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

from daemon.config.node import Config
from daemon.setup.answers import Given, bundle, node_name, stream_name
from daemon.setup.ask_broker import BrokerQuestions
from daemon.setup.ask_devices import DeviceQuestions
from daemon.setup.asking import Back, Option, Terminal, ask, ask_yes, choose
from daemon.setup.choices import Choices, choices_of
from daemon.setup.finder import Finder
from daemon.setup.found import FoundAccelerator

Question: TypeAlias = Callable[[Choices], Choices]

# what is asked for the directory of a bundle of one's own
OTHER: Literal[""] = ""

LABELS = {
    "home": "home: the sounds and sights of a home, such as a doorbell, glass, a dog, a person",
    "home-coral": "home-coral: the same, with models for an Edge TPU",
    "digits": "digits: the digits 0 to 9, shown and spoken in English. A first try without a download",
}

# of LABELS, those whose models come from the internet, or from the directory of --from
DOWNLOADS = {"home": "45 MB", "home-coral": "more"}

# of LABELS, the one that needs an Edge TPU
FOR_EDGE_TPU = "home-coral"


class Questions:
    """Asks for what options have not given. `before` is the config that is there, whose values are the defaults.

    `downloads`: the models of a bundle come from the internet. Else a directory has them.
    """

    def __init__(
        self, terminal: Terminal, finder: Finder, given: Given, before: Config | None, *, downloads: bool = True
    ) -> None:
        self._terminal = terminal
        self._finder = finder
        self._before = before
        self._downloads = downloads
        self._devices = DeviceQuestions(terminal, finder, () if before is None else before.streams)
        self._broker = BrokerQuestions(terminal, finder)
        self._accelerators: list[FoundAccelerator] | None = None
        asked: list[tuple[object, Question]] = [
            (finder.network, self._network),
            (given.node, self._node),
            (given.stream, self._stream),
            (given.camera, self._devices.camera),
            (given.microphone, self._devices.microphone),
            (given.broker, self._broker.address),
            (given.password if given.username else given.username, self._broker.login),
            (given.bundle, self._bundle),
        ]
        self._asked = [question for answer, question in asked if answer is None]

    def ask(self, choices: Choices, *, from_last: bool = False) -> Choices:
        """Return the choices with the answers; `from_last` begins with the last question."""
        at = max(len(self._asked) - 1, 0) if from_last else 0
        while at < len(self._asked):
            try:
                choices = self._asked[at](choices)
                at += 1
            except Back:
                at = max(at - 1, 0)
        return choices

    def _network(self, choices: Choices) -> Choices:
        question = "Look for cameras and brokers on the local network? It takes seconds"
        self._finder.network = ask_yes(self._terminal, question, default=self._finder.network is not False)
        return choices

    def _node(self, choices: Choices) -> Choices:
        return replace(choices, node=ask(self._terminal, "Name of this device", choices.node, node_name))

    def _stream(self, choices: Choices) -> Choices:
        if self._before is not None and self._before.streams:
            names = ", ".join(self._before.streams)
            self._terminal.say(f"The config has these places: {names}. The name of another one adds it.")
        name = ask(self._terminal, "Name of the place that it watches", choices.stream, stream_name)
        if name == choices.stream:
            return choices
        if self._before is None:
            return replace(choices, stream=name)
        place = choices_of(self._before, choices, name)
        return replace(choices, stream=name, camera=place.camera, microphone=place.microphone)

    def _bundle(self, choices: Choices) -> Choices:
        names = [name for name in LABELS if name != FOR_EDGE_TPU or self._has_edge_tpu()]
        options = [Option(f"{LABELS[name]}{self._models_of(name)}", name) for name in names]
        if choices.bundle not in names:
            options.insert(0, Option(f"as it is: {choices.bundle}", choices.bundle))
        options.append(Option("another bundle, by its directory", OTHER))
        default = next(index for index, option in enumerate(options) if option.value == choices.bundle)
        chosen = choose(self._terminal, "What should it recognise?", options, default)
        if chosen == OTHER:
            chosen = ask(self._terminal, "Directory of the bundle", "", bundle)
        return replace(choices, bundle=chosen)

    def _models_of(self, name: str) -> str:
        """Return what is downloaded for a bundle, as a sentence."""
        if name not in DOWNLOADS:
            return ""
        return f". Downloads {DOWNLOADS[name]}" if self._downloads else ". No download"

    def _has_edge_tpu(self) -> bool:
        """Return whether an Edge TPU works. The first call tries all accelerators, and tells what it finds."""
        if self._accelerators is None:
            self._terminal.say("looking for accelerators ...")
            self._accelerators = self._finder.accelerators()
            for each in self._accelerators:
                state = "it works, and is used" if each.works else f"it does not work: {each.problem}"
                self._terminal.say(f"found {each.name} ({each.device}): {state}")
        return any(each.works and each.device.startswith("edgetpu") for each in self._accelerators)


def fresh_choices(hostname: str, bundle_name: str) -> Choices:
    """Return the defaults where there is no config: a node with the name of its machine, and this bundle."""
    try:
        name = node_name(hostname.partition(".")[0])
    except ValueError:
        name = "perceptd"
    return Choices(node=name, bundle=bundle_name)
