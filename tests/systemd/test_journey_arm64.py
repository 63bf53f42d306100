"""The package for arm64, under emulation: the command line, a replay, the report of doctor, and an own label.

An emulated processor is slow: no time here says anything about a device.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from packages.targets import Target, target_named

from daemon import __version__
from daemon.core.records import Array
from daemon.sources.container import read_sound
from tests.docs.pages import ROOT
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.emulated import COMMAND_S, Emulated, emulated_debian
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.place_sounds import write_sound
from tests.helpers.pulse import RATE_HZ
from tests.systemd.journey import INSTALLED, SignedRepository, Steps

pytestmark = [
    pytest.mark.campaign("journey"),
    pytest.mark.skipif(not IS_CAMPAIGN, reason="an emulator takes minutes: scripts/test-campaigns journey"),
    pytest.mark.xdist_group("journey"),
]

# the emulator is that of Debian 13; it runs both
TARGETS = ("deb12-arm64", "deb13-arm64")
INSTALLED_MB = 400.0
PRESSES, PRESS_S, PLACE_S = 5, 4.0, 45.0
DIGITS = "models/digits"
# a program: how far a product of matrices is from the one in double precision
PRODUCT = """
import numpy as np
rng = np.random.default_rng(1)
left, right = (rng.normal(size=size).astype(np.float32) for size in ((96, 257), (257, 64)))
print(np.abs(left @ right - left.astype(float) @ right.astype(float)).max())
"""
# where the service may read and write
CONFIG, STATE = "/etc/perceptd/journey.yaml", "/var/lib/perceptd/journey"
RECOGNISED_S, REPORT_S = 300.0, 1800.0


@pytest.fixture(scope="module", params=TARGETS)
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Target, Emulated, Path]]:
    """An emulated Debian, and the package for it."""
    target, directory = target_named(request.param), tmp_path_factory.mktemp(request.param)
    deb = SignedRepository(target, directory).deb
    with emulated_debian(target.suite, directory) as emulated:
        yield target, emulated, deb


@pytest.fixture
def steps(system: tuple[Target, Emulated, Path], record_property: Callable[[str, object], None]) -> Steps:
    return Steps(f"journey, {system[0].name} emulated", record_property)


def test_the_command_line_on_arm64(system: tuple[Target, Emulated, Path], steps: Steps) -> None:
    _target, emulated, deb = system
    (emulated.root / "root" / deb.name).hardlink_to(deb)
    with steps.step("dpkg --install"):
        emulated.run("dpkg", "--install", f"/root/{deb.name}", timeout_s=2 * COMMAND_S)
    assert emulated.run("dpkg", "--audit").stdout == ""
    installed_mb = int(emulated.run("python3", "-c", INSTALLED).stdout) / 1e6
    steps.tell(f"{installed_mb:.0f} MB installed")
    with steps.step("perceptd --version"):
        assert emulated.run("perceptd", "--version").stdout == f"perceptd {__version__}\n"
    assert float(emulated.run("/opt/perceptd/.venv/bin/python3", "-c", PRODUCT).stdout) < 1e-3
    with steps.step("perceptd evaluate, with what this machine finds"):
        manifest = write_digits(emulated.root / "root")
        found = emulated.run("perceptd", "evaluate", "--json", f"/opt/perceptd/{DIGITS}", "/root/digits.csv").stdout
        here = [sys.executable, "-m", "daemon", "evaluate", "--json", DIGITS, str(manifest)]
        done = subprocess.run(here, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S, check=True)
        assert json.loads(found) == json.loads(done.stdout)
    with Mosquitto() as broker, Subscriber(broker, "perceptd/demo/#") as subscriber:
        config = yaml.safe_load((emulated.root / "etc/perceptd/config.yaml").read_text())
        config |= {"mqtt": {"port": broker.port}, "state_directory": STATE}
        (emulated.root / CONFIG.removeprefix("/")).write_text(yaml.safe_dump(config))
        with steps.step("perceptd check-config"):
            emulated.run("perceptd", "check-config", CONFIG)
        with steps.step("a replay of digits, until three events"):
            events = replayed(emulated, subscriber)
        steps.tell(f"labels of the replay: {[event['label'] for event in events]}")
        with steps.step("perceptd doctor --report"):
            # no clock is synchronised here: doctor warns
            emulated.run(
                "perceptd",
                "doctor",
                "--config",
                CONFIG,
                "--report",
                "/root/report.json",
                check=False,
                timeout_s=REPORT_S,
            )
    report = json.loads((emulated.root / "root/report.json").read_text())
    steps.tell(f"report: {json.dumps(report)[:600]}")
    with steps.step("a label taught from files, and fitted"):
        taught = teach(emulated)
    assert "beep" in taught
    assert installed_mb < INSTALLED_MB


def write_digits(directory: Path) -> Path:
    """Write the spoken digits of the demo into a directory; return the list of them for `perceptd evaluate`."""
    demo = ROOT / DIGITS / "demo"
    samples = read_sound(demo / "clip.mp4", RATE_HZ)
    passages = yaml.safe_load((demo / "clip.truth.yaml").read_text())["passages"]
    lines = ["image,audio,text,label"]
    for number, passage in enumerate(each for each in passages if each["audio"]):
        begin, end = (round(passage[name] * RATE_HZ) for name in ("start_s", "end_s"))
        write_sound(directory / f"digit-{number}.wav", samples[begin:end])
        lines.append(f",digit-{number}.wav,,{passage['audio']}")
    manifest = directory / "digits.csv"
    manifest.write_text("\n".join([*lines, ""]))
    return manifest


def replayed(emulated: Emulated, subscriber: Subscriber) -> list[dict]:
    """Run the demo until some events have started; return these."""
    process = subprocess.Popen(
        emulated.command("perceptd", "run", "--config", CONFIG), stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(starts(subscriber)) >= 3, "three events of the replay", RECOGNISED_S)
    finally:
        process.terminate()
        _, log = process.communicate(timeout=60)
        print(log[-3000:])
    assert process.returncode == 0
    return starts(subscriber)


def starts(subscriber: Subscriber) -> list[dict]:
    events = [json.loads(text) for text in subscriber.payloads("perceptd/demo/demo/event")]
    return [event for event in events if event["phase"] == "start"]


def teach(emulated: Emulated) -> str:
    """Teach a beep in a quiet noise, without a node; return what was said."""
    rng = np.random.default_rng(1)
    root = emulated.root / "root"
    for number in range(PRESSES):
        write_sound(root / f"beep-{number}.wav", beep(700 + 40 * number) + noise(rng, PRESS_S))
    write_sound(root / "place.wav", noise(rng, PLACE_S))
    files = [f"/root/beep-{number}.wav" for number in range(PRESSES)]
    command = ["perceptd", "teach", "beep", "--bundle", "/opt/perceptd/models/digits", "--files", *files]
    done = emulated.run(*command, "--background", "/root/place.wav", "--out", "/root/taught")
    return done.stdout


def beep(hertz: float) -> Array:
    time_s = np.arange(round(PRESS_S * RATE_HZ)) / RATE_HZ
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * time_s), np.float32)


def noise(rng: np.random.Generator, seconds: float) -> Array:
    return rng.normal(0, 0.003, round(seconds * RATE_HZ)).astype(np.float32)
