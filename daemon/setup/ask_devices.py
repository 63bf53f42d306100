"""Asks for the camera and the microphone of a place."""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from daemon.config.streams import CameraConfig, is_url
from daemon.core.text import redact
from daemon.setup.answers import camera as read_camera
from daemon.setup.answers import microphone as read_microphone
from daemon.setup.asking import Back, Option, Terminal, ask, ask_secret, choose
from daemon.setup.choices import Choices
from daemon.setup.finder import Finder
from daemon.setup.found import FoundCamera, FoundMicrophone, SearchFailed
from daemon.setup.login import may_have_login, with_login

# keep: as the config has it; other: typed; none: without one; again: search once more
Marker = Literal["keep", "other", "none", "again"]

OTHER_CAMERA = "another: an address such as rtsp://192.168.1.20/path, a device, a video file"

# the sound of the stream of a camera
CAMERA = "camera"


class DeviceQuestions:
    """The questions about devices. A search that fails is told, and the question comes without it."""

    def __init__(self, terminal: Terminal, finder: Finder, known: Collection[str]) -> None:
        """`known` are the places of the config before: what they have not is offered as none."""
        self._terminal = terminal
        self._finder = finder
        self._known = set(known)
        # whether the camera that was chosen says that it has no sound
        self._is_mute = False

    def camera(self, choices: Choices) -> Choices:
        """Ask for the camera, and for its login."""
        chosen: FoundCamera | Marker = "again"
        while chosen == "again":
            options = self._camera_options(choices)
            is_none = choices.camera is None and choices.stream in self._known
            default = next(index for index, each in enumerate(options) if each.value == "none") if is_none else 0
            chosen = choose(self._terminal, f"Which camera watches {choices.stream}?", options, default)
        if chosen == "keep":
            return choices
        self._is_mute = False
        if chosen == "none":
            return replace(choices, camera=None)
        if chosen == "other":
            device = ask(self._terminal, "Address, device or file of the camera", "", read_camera)
            return replace(choices, camera=self._logged_in(device))
        return replace(choices, camera=self._found(chosen))

    def microphone(self, choices: Choices) -> Choices:
        """Ask for the microphone. Goes back where a place would have neither that nor a camera."""
        chosen = choose(self._terminal, "Which microphone listens there?", *self._microphone_options(choices))
        if isinstance(chosen, FoundMicrophone):
            return replace(choices, microphone=chosen.device)
        if chosen == "other":
            device = ask(self._terminal, "Name or number of the microphone", "default", read_microphone)
        else:
            device = {"keep": choices.microphone, "none": None, CAMERA: CAMERA}[chosen]
        if device is None and choices.camera is None:
            self._terminal.say("  A place needs a camera or a microphone. Please choose one of the two.")
            raise Back
        self._known.add(choices.stream)
        return replace(choices, microphone=device)

    def _camera_options(self, choices: Choices) -> list[Option[FoundCamera | Marker]]:
        options: list[Option[FoundCamera | Marker]] = []
        if choices.camera is not None:
            options.append(Option(f"as it is: {choices.camera}", "keep"))
        try:
            self._terminal.say("looking for cameras ...")
            options += [Option(_camera_label(each), each) for each in self._finder.cameras()]
        except SearchFailed as error:
            self._terminal.say(f"  {redact(str(error))}")
        more: list[tuple[str, Marker]] = [(OTHER_CAMERA, "other"), ("none", "none"), ("look again", "again")]
        return options + [Option(label, marker) for label, marker in more]

    def _found(self, found: FoundCamera) -> int | str | None:
        """Return the device of a camera that was found, with its login."""
        self._is_mute = found.has_sound is False
        if found.device or found.onvif is None:
            return self._logged_in(found.device, needs_login=found.needs_login)
        login: tuple[str, str] | None = None
        while True:
            if found.needs_login:
                login = self._login("User of the camera", needs_login=True)
            self._terminal.say("asking the camera for its streams ...")
            try:
                streams = self._finder.addresses(found.onvif, login)
            except SearchFailed as error:
                self._terminal.say(f"  {redact(str(error))}")
                if not error.needs_login:
                    raise Back from error
                found = replace(found, needs_login=True)
                continue
            if not streams:
                self._terminal.say("  This camera tells of no stream. Its address may be typed as that of another.")
                raise Back
            stream = choose(
                self._terminal, "Which of its streams?", [Option(_camera_label(each), each) for each in streams]
            )
            self._is_mute = stream.has_sound is False
            return stream.device if login is None else with_login(stream.device, *login)

    def _logged_in(self, device: int | str | None, *, needs_login: bool = False) -> int | str | None:
        """Return a camera, with a login where it is a URL without one and somebody gives one."""
        if not may_have_login(device):
            return device
        login = self._login(
            "User of the camera" + ("" if needs_login else " (Enter: it needs none)"), needs_login=needs_login
        )
        return device if login is None else with_login(str(device), *login)

    def _login(self, question: str, *, needs_login: bool) -> tuple[str, str] | None:
        user = ask(self._terminal, question, "", _user if needs_login else str)
        return (user, ask_secret(self._terminal, f"Password of {user} at the camera (not shown)")) if user else None

    def _microphone_options(self, choices: Choices) -> tuple[list[Option[FoundMicrophone | str]], int]:
        """Return the options, and the one that is offered first."""
        options: list[Option[FoundMicrophone | str]] = []
        if choices.microphone not in (None, CAMERA):
            options.append(Option(f"as it is: {choices.microphone}", "keep"))
        if _may_have_sound(choices.camera) and not self._is_mute:
            options.append(Option("the sound of the camera's own stream", CAMERA))
        has_first = bool(options)
        self._terminal.say("looking for microphones ...")
        try:
            found = self._finder.microphones()
        except SearchFailed as error:
            self._terminal.say(f"  {redact(str(error))}")
            found = []
        options += [Option(f"{each.name} ({each.device})", each) for each in found]
        options += [Option("another, by its name", "other"), Option("none", "none")]
        is_none = choices.microphone is None and choices.stream in self._known
        if is_none or not (has_first or found):
            return options, len(options) - 1
        if has_first:
            return options, 0
        return options, next((index for index, each in enumerate(found) if each.is_default), 0)


def _camera_label(found: FoundCamera) -> str:
    details = [found.details, "with sound" if found.has_sound else "", "asks for a login" if found.needs_login else ""]
    return f"{found.name} ({', '.join(filter(None, details))}) {found.device}".replace(" ()", "").rstrip()


def _may_have_sound(camera: int | str | None) -> bool:
    return camera is not None and (is_url(camera) or CameraConfig(device=camera).is_file)


def _user(text: str) -> str:
    if not text:
        raise ValueError("expected the name of a user: this camera asks for a login")
    return text
