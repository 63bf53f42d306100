"""The course of a setup: answers, the config, its test, the page, the start of the service."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.config.bundle_places import find_bundle, recipe_names
from daemon.config.streams import CameraConfig
from daemon.core.errors import Refused
from daemon.setup.ask_devices import CAMERA
from daemon.setup.asking import Back, Option, Terminal, ask_yes, choose
from daemon.setup.checks import Sound, check, failures, show_picture, show_sound
from daemon.setup.choices import Choices
from daemon.setup.commands import Checked, Commands, get_bundle
from daemon.setup.finder import Finder
from daemon.setup.found import OnePicture
from daemon.setup.interrupts import interrupts
from daemon.setup.plan import Before, Plan, new_plan
from daemon.setup.questions import Questions
from daemon.setup.service import Pause
from daemon.setup.written import Place, write


class Stopped(Exception):
    """Somebody has ended the setup; the message says what was written."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a setup works with.

    `stamp` returns the date and time for the names of backups. `give` gives a file to the person who uses sudo.
    `bundles` is the directory in which `perceptd bundle get` makes bundles. `pause` stops the service for the tests.
    """

    terminal: Terminal
    finder: Finder
    commands: Commands
    stamp: Callable[[], str]
    give: Callable[[Path], None]
    bundles: Path
    pause: Pause


@dataclass(slots=True)
class Outcome:
    """What a setup has done. `picture` and `sound` are None where there is none, or none was delivered."""

    plan: Plan
    backups: list[Path] = field(default_factory=list)
    findings: list[Checked] = field(default_factory=list)
    picture: tuple[Path, OnePicture] | None = None
    sound: Sound | None = None

    @property
    def works(self) -> bool:
        """Return whether a node would work with this config."""
        return not failures(self.findings)


class Setup:
    """Writes and tests one config. `questions` is None where nobody is asked."""

    def __init__(
        self, ports: Ports, place: Place, before: Before | None, questions: Questions | None, from_dir: Path | None
    ) -> None:
        self._ports = ports
        self._terminal = ports.terminal
        self._place = place
        self._before = before
        self._questions = questions
        self._from_dir = from_dir
        self._backups: list[Path] = []
        self._pictures: list[Path] = []
        self.has_written = False

    def run(self, choices: Choices) -> Outcome:
        """Ask, write and test, until it works or somebody goes on all the same. Raises Refused, and Stopped."""
        plan = self._first_plan(choices)
        while True:
            if self._ports.pause.is_needed:
                self._terminal.say("the service stops meanwhile: it holds its camera and its microphone")
                self._ports.pause.begin()
            self._write(plan)
            outcome = Outcome(plan, self._backups)
            self._test(outcome)
            if outcome.works or self._questions is None:
                return outcome
            options = [
                Option("change the answers", "change"),
                Option("go on all the same", "on"),
                Option("stop", "stop"),
            ]
            chosen = choose(self._terminal, "Some of it does not work yet. What now?", options, has_before=False)
            if chosen == "on":
                return outcome
            if chosen == "stop":
                raise self._stopped()
            plan = self._asked_plan(replace(plan.choices, password=None), self._questions)

    def _first_plan(self, choices: Choices) -> Plan:
        if self._questions is not None:
            return self._asked_plan(choices, self._questions)
        plan = self._plan(choices)
        for line in plan.losses():
            self._terminal.say(line)
        self._make_bundle(choices.bundle)
        return plan

    def _asked_plan(self, choices: Choices, questions: Questions) -> Plan:
        """Ask until somebody agrees with the config. Raises Stopped."""
        from_last = False
        while True:
            choices = questions.ask(choices, from_last=from_last)
            from_last = True
            try:
                plan = self._plan(choices)
                if not self._agrees(plan):
                    raise self._stopped()
                self._make_bundle(choices.bundle)
            except Back:
                continue
            except Refused as error:
                self._terminal.say(f"  {error}")
                if not ask_yes(self._terminal, "Change the answers?", default=True, has_before=False):
                    raise self._stopped() from error
            else:
                return plan

    def _agrees(self, plan: Plan) -> bool:
        """Show what is going to change, and return whether somebody agrees. Raises Back."""
        if not plan.has_changes:
            self._terminal.say(f"{self._place.config} says all of this already.")
            return True
        for line in self._shown(plan):
            self._terminal.say(line)
        return ask_yes(self._terminal, "Write it?", default=True)

    def _shown(self, plan: Plan) -> Iterator[str]:
        if plan.text == plan.before:
            yield "Only the password of the broker changes. That of before is kept as mqtt-password.before-setup-DATE."
            return
        yield f"\nThis is going to be {self._place.config}; passwords are not shown:\n"
        yield from (f"  {line}" for line in plan.lines())
        yield ""
        yield from plan.losses()
        if plan.before is not None:
            yield "The config before is kept beside it, as config.yaml.before-setup-DATE."

    def _plan(self, choices: Choices) -> Plan:
        """Return what is written for these choices, with the directory of the bundle. Raises Refused."""
        name = choices.bundle
        if name in recipe_names():
            directory = str(self._ports.bundles / name)
        else:
            directory = name if "/" in name else str(find_bundle(name))
        return new_plan(self._place.config, self._before, choices, directory)

    def _make_bundle(self, name: str) -> None:
        """Make a bundle that needs to be made by its recipe. Raises Refused."""
        if name in recipe_names():
            self._terminal.say(f"making the bundle {name} of public models ...")
            get_bundle(self._ports.commands, name, self._from_dir)

    @property
    def written(self) -> str:
        """Return what was written, for whoever ends the setup."""
        return f"{self._place.config} is written" if self.has_written else "nothing was written"

    def _stopped(self) -> Stopped:
        return Stopped(self.written)

    def _write(self, plan: Plan) -> None:
        if not plan.has_changes:
            return
        # whoever interrupts it is told whether it is written
        with interrupts.held():
            backups = write(self._place, plan.text, plan.choices.password, self._ports.stamp())
            self.has_written = True
        self._terminal.say(f"wrote {self._place.config}")
        for backup in backups:
            self._terminal.say(f"kept what was there before as {backup}")
        # a second plan of this setup begins with what it has written
        self._before = Before(plan.text, plan.config)
        self._backups += backups

    def _test(self, outcome: Outcome) -> None:
        """Run the checks, and show a picture and the level of the sound of what has not failed there."""
        outcome.findings = check(self._terminal, self._ports.commands, self._place.config)
        base = self._place.config.resolve().parent
        name = outcome.plan.choices.stream
        stream = outcome.plan.config.streams[name].with_absolute_paths(base)
        failed = {finding.check for finding in failures(outcome.findings)}
        if stream.camera is not None and f"{name}/camera" not in failed:
            outcome.picture = self._show_picture(stream.camera)
        microphone = stream.microphone
        if microphone is not None and f"{name}/{CAMERA if microphone.device == CAMERA else 'microphone'}" not in failed:
            # nobody claps before the rest works
            asks = self._questions is not None and outcome.works
            outcome.sound = show_sound(self._terminal, self._ports.finder, stream, asks=asks)

    def _show_picture(self, camera: CameraConfig) -> tuple[Path, OnePicture] | None:
        asks = self._questions is not None
        picture = show_picture(self._terminal, self._ports.finder, camera, self._ports.give, stays=not asks)
        if asks and picture is not None:
            self._pictures.append(picture[0])
        return picture

    def remove_pictures(self) -> None:
        """Remove the files of pictures that a person was shown. Those of a script stay: it reads their names."""
        for file in self._pictures:
            with suppress(OSError):
                file.unlink()
