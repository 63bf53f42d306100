"""Tests what was set up: doctor's checks, one picture, one second of sound."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from daemon.config.streams import CameraConfig, StreamConfig
from daemon.core.errors import PerceptdError, Refused
from daemon.core.files import removed_on_error
from daemon.core.text import redact
from daemon.setup.asking import Terminal, ask_yes
from daemon.setup.commands import Checked, Commands, doctor
from daemon.setup.finder import Finder
from daemon.setup.found import Level, OnePicture
from daemon.setup.levels import heard_clap

LISTEN_S = 1.0
# for somebody who reads the sentence first
CLAP_S = 8.0

# a mean luma below or above this shows nothing, as a rule
DARK, BRIGHT = 0.05, 0.95

STAYS = "Look at it, then remove it: nobody else can read it, and perceptd does not need it."
GOES = "Look at it now, in another terminal: the end of this setup removes it. Nobody else can read it."
NO_CLAP = "           Try again nearer to the microphone; see that it is not muted, and that it is this one."

# of the bar of the level: from silence to full scale
BAR = 20
SILENCE_DB = -60.0


@dataclass(frozen=True, slots=True)
class Sound:
    """What was heard: the loudest tenth of a second, and whether it was a clap; None: nobody was asked to clap."""

    dbfs: float
    clap: bool | None


def failures(findings: Iterable[Checked]) -> list[Checked]:
    """Return the findings with which a node will not work."""
    return [finding for finding in findings if finding.level == "failure"]


def check(terminal: Terminal, commands: Commands, config: Path) -> list[Checked]:
    """Run doctor's checks; show each when it ends, and return all."""
    terminal.say("checking the machine, the devices, the broker and the models; this takes up to a minute ...")
    findings = _findings(commands, config, partial(_show, terminal))
    # a camera may take longer to open when it is busy, or was just closed
    if (failed := failures(findings)) and all(map(_is_device, failed)):
        terminal.say("a device has not answered in time; looking once more ...")
        findings = _findings(commands, config, partial(_show_device, terminal))
    good = sum(finding.level == "good" for finding in findings)
    terminal.say(f"  {good} of {len(findings)} checks are good")
    return findings


def _findings(commands: Commands, config: Path, take: Callable[[Checked], None]) -> list[Checked]:
    try:
        return doctor(commands, config, take)
    except Refused as error:
        finding = Checked("doctor", "failure", str(error), "run: perceptd doctor")
        take(finding)
        return [finding]


def _is_device(finding: Checked) -> bool:
    """Whether a check is that of a camera, a microphone or a recording, such as door/camera."""
    return "/" in finding.check


def _show(terminal: Terminal, finding: Checked) -> None:
    mark = {"failure": "FAIL", "warning": "WARN"}.get(finding.level, "ok  ")
    remedy = "" if finding.remedy is None else f"; {finding.remedy}"
    terminal.say(f"  {mark}  {finding.check}: {redact(finding.found)}{redact(remedy)}")


def _show_device(terminal: Terminal, finding: Checked) -> None:
    """Show a finding of a second run: the others are known already."""
    if _is_device(finding) or finding.check == "doctor":
        _show(terminal, finding)


def show_picture(
    terminal: Terminal, finder: Finder, camera: CameraConfig, give: Callable[[Path], None], *, stays: bool
) -> tuple[Path, OnePicture] | None:
    """Write one picture of the camera into a file that one user can read, and say what it is like.

    `give` gives it to the person who runs this program with sudo. `stays`: the file is there after the setup.
    """
    terminal.say("taking a picture ...")
    try:
        picture = finder.picture(camera)
    except PerceptdError as error:
        terminal.say(f"  no picture: {redact(str(error))}")
        return None
    try:
        descriptor, name = tempfile.mkstemp(prefix="perceptd-picture-", suffix=".jpg")
        with removed_on_error(Path(name)), os.fdopen(descriptor, "wb") as file:
            file.write(picture.jpeg)
        give(Path(name))
    except OSError as error:
        terminal.say(f"  no picture: there is no place for its file: {error.strerror or error}")
        return None
    light = "dark" if picture.brightness < DARK else "bright" if picture.brightness > BRIGHT else ""
    remark = f"; it is very {light}: is the lens covered, or the light off?" if light else ""
    size = f"{picture.width}x{picture.height}"
    terminal.say(f"  picture  {size}, {len(picture.jpeg) // 1024} kB, in {name}{remark}")
    terminal.say(f"           {STAYS if stays else GOES}")
    return Path(name), picture


def show_sound(terminal: Terminal, finder: Finder, stream: StreamConfig, *, asks: bool) -> Sound | None:
    """Measure a second of sound. Where somebody is there, ask for a clap, and wait for it, as often as they like."""
    terminal.say("listening ...")
    while True:
        sound = _sound(terminal, finder, stream, asks=asks)
        if sound is None or sound.clap is not False:
            return sound
        terminal.say(NO_CLAP)
        if not ask_yes(terminal, "Listen again?", default=True, has_before=False):
            return sound


def _sound(terminal: Terminal, finder: Finder, stream: StreamConfig, *, asks: bool) -> Sound | None:
    try:
        with finder.sound(stream) as levels:
            # nobody is asked to clap before it is open, which may take seconds
            heard = [*islice(levels, 1)]
            if heard and asks:
                terminal.say(f"  Please clap once within {CLAP_S:g} seconds, near the microphone ...")
            heard += _listen(levels, CLAP_S if asks else LISTEN_S, until_clap=asks)
    except PerceptdError as error:
        terminal.say(f"  no sound: {redact(str(error))}")
        return None
    if not heard:
        terminal.say("  no sound: the microphone has delivered nothing")
        return None
    loudest = max(level.dbfs for level in heard)
    filled = round(BAR * max(0.0, 1 - loudest / SILENCE_DB))
    clap = heard_clap(heard) if asks else None
    remark = {True: ", a clap", False: ", but no clap", None: ""}[clap]
    terminal.say(f"  sound    {'#' * filled}{'.' * (BAR - filled)} {loudest:.0f} dB{remark}")
    return Sound(loudest, clap)


def _listen(levels: Iterable[Level], seconds: float, *, until_clap: bool) -> list[Level]:
    heard: list[Level] = []
    end = time.monotonic() + seconds
    for level in levels:
        heard.append(level)
        if time.monotonic() > end or (until_clap and heard_clap(heard)):
            break
    return heard
