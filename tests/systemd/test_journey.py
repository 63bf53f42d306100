"""From the box to the first own event on Debian 12 and 13, by the steps of the pages; upgrade, the way back, purge."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon import __version__
from daemon.core.records import Array
from daemon.teaching.records import NEEDED_BACKGROUND
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.debs import built_of_commit_before, target_of
from tests.helpers.directed_camera import directed_camera
from tests.helpers.nspawn import SUITES, bare_guest
from tests.helpers.place_sounds import event_sound, place_sound, recordings
from tests.helpers.pulse import RATE_HZ
from tests.shared import SHARED
from tests.systemd.journey import BEFORE, EVENT_S, MODELS, STREAM, Journey, Listener, SignedRepository, Steps
from tests.systemd.packaged import CONFIG, REPOSITORY, SERVICE
from tests.systemd.typed import USER, commands_of

pytestmark = [
    pytest.mark.campaign("journey"),
    pytest.mark.skipif(not IS_CAMPAIGN, reason="takes ten minutes for each Debian: scripts/test-campaigns journey"),
    pytest.mark.alone,
    pytest.mark.xdist_group("journey"),
]

# what is promised: from the box to the first own event, typing aside; what is installed,
# and the memory of the service while nothing moves
BOX_S, INSTALLED_MB, IDLE_MB = 600.0, 400.0, 130.0

KNOWN_S, IDLE_S = 900.0, 60.0
LABEL, KIND = "the cock crows", "rooster"
BARKS, OF_THE_PLACE, PLACE_S = "dog", ("rain", "clock_tick", "coughing", "airplane"), 300.0
PRESSES, PRESS_S, PAUSE_S = 5, 5.0, 5.0
# how long an event is waited for before another recording is played
BETWEEN_S = 6.0


@pytest.fixture(scope="module", params=SUITES)
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The release of Debian, and the file of the package beside the repository for it."""
    made = SignedRepository(target_of(request.param), tmp_path_factory.mktemp("repository"))
    made.add(built_of_commit_before(request.param, made.directory, BEFORE))
    return request.param, made.deb


@pytest.fixture
def journey(repository: tuple[str, Path], tmp_path: Path) -> Iterator[Journey]:
    suite, deb = repository
    binds = [f"--bind-ro={deb.parent}:{REPOSITORY}"]
    binds += [f"--bind-ro={SHARED / 'models'}:{MODELS}"] if SHARED.is_dir() else []
    with (
        bare_guest(suite, tmp_path / "guest.log", *binds) as guest,
        directed_camera(tmp_path, guest.network()) as camera,
    ):
        yield Journey(guest, suite, camera, deb.name)


@pytest.fixture
def steps(repository: tuple[str, Path], record_property: Callable[[str, object], None]) -> Steps:
    return Steps(f"journey, {repository[0]}", record_property)


def test_ten_minutes_from_the_box_to_the_first_own_event(journey: Journey, steps: Steps) -> None:
    machine = journey.machine
    with steps.step("apt install ./perceptd_….deb"):
        journey.install_file()
    with steps.step("a broker with accounts and an access list"):
        journey.make_broker()
    installed_mb = journey.installed_mb()
    steps.tell(f"{installed_mb:.0f} MB installed")
    has_models = SHARED.is_dir()
    if not has_models:
        steps.tell(f"no data sets and models at {SHARED}: without home, teaching and own events")
    # the last one of an option counts
    bundle = f"--from {MODELS}" if has_models else "--bundle digits"
    with steps.step("perceptd setup"):
        journey.setup(bundle)
    journey.use_own_account()
    box_s = 0.0
    with Listener(journey.guest) as listener:
        if has_models:
            first_own_event(journey, steps, listener)
            box_s = steps.total_s
        else:
            journey.wait(lambda: listener.all(f"{STREAM}/recognition"), "a recognition", EVENT_S)
        with steps.step("the key and the address of the repository, apt update"):
            journey.add_repository()
        for version, change in ((BEFORE, journey.go_back), (__version__, journey.upgrade)):
            change_to(version, change, journey, steps, listener)
            if has_models:
                with steps.step(f"an own event of {version}"):
                    hear_own_event(journey, listener)
    if has_models:
        bark = event_sound(recordings(BARKS)[0])
        # each event ends before the next one starts
        journey.camera.loop(np.concatenate([bark, np.zeros_like(bark, shape=round(PAUSE_S * RATE_HZ))]))
    with steps.step("what else docs/getting-started.md types"):
        journey.try_the_rest(has_events=has_models)
    with steps.step("purge"):
        journey.purge()
    assert [path for path in ("/opt/perceptd", "/etc/perceptd", "/var/lib/perceptd") if machine.exists(path)] == []
    assert journey.retained() == ""
    with steps.step("reinstall and set up with gates"):
        machine.install(__version__)
        (backup,) = journey.setup(bundle)["backups"]
        journey.guest.run("sh", "-c", f"printf '    gates: {{motion: {{}}, sound: {{}}}}\\n' >>{CONFIG}")
        journey.guest.run("perceptd", "check-config", CONFIG)
        journey.guest.run("systemctl", "restart", SERVICE)
    idle_mb = idle(journey, steps)
    with steps.step("back to the config of before the setup"):
        journey.restore(backup)
    # what is promised is compared at the end, when all of it is measured
    assert installed_mb < INSTALLED_MB
    if has_models:
        assert idle_mb < IDLE_MB
    assert box_s < BOX_S


def first_own_event(journey: Journey, steps: Steps, listener: Listener) -> None:
    """Hear of a dog, teach a label while the place is not known yet, and hear of it."""
    camera = journey.camera
    with (
        steps.step("the first event, in perceptd watch"),
        journey.person.at(commands_of("getting-started.md", "$ cd")) as watch,
    ):
        watch.expect(f"using /home/{USER}/.config/perceptd/config.yaml")
        heard(journey, listener, BARKS, [event_sound(path) for path in recordings(BARKS)[:PRESSES]])
        # the label is bold at a terminal
        watch.expect(f"{BARKS}\x1b[0m started")
    place = place_sound(OF_THE_PLACE, PLACE_S)
    camera.loop(place)
    with steps.step("five presses, before the place is known"):
        for recording in recordings(KIND)[:PRESSES]:
            # it goes on until it is pressed, as what people teach does
            camera.loop(event_sound(recording))
            time.sleep(PRESS_S)
            journey.perceptd("teach", LABEL, "--no-wait")
            camera.loop(place)
    assert background(listener) < NEEDED_BACKGROUND
    with steps.step("the background of the place, until the label is ready"):
        journey.wait(lambda: is_ready(listener), "the label is ready", KNOWN_S)
    with steps.step("the first own event"):
        hear_own_event(journey, listener)
    steps.tell(f"{steps.total_s:6.1f} s  from the box to the first own event, typing aside")
    steps.tell(journey.perceptd("teach", "report").strip())


def hear_own_event(journey: Journey, listener: Listener) -> None:
    """Play what the label was not taught with, until the node has heard it."""
    heard(journey, listener, LABEL, [event_sound(path) for path in recordings(KIND)[PRESSES:]])


def heard(journey: Journey, listener: Listener, label: str, sounds: list[Array]) -> None:
    """Play sounds until an event of the label starts."""
    before = len(listener.starts(label))
    for sound in sounds:
        journey.camera.play(sound)
        deadline_s = time.monotonic() + BETWEEN_S
        while time.monotonic() < deadline_s:
            if len(listener.starts(label)) > before:
                return
            time.sleep(0.05)
    journey.wait(lambda: len(listener.starts(label)) > before, f"an event {label}; {listener.starts()[-5:]}", 1.0)


def is_ready(listener: Listener) -> bool:
    """Return whether the label is recognised, with all its presses."""
    labels = {each["label"]: each for each in listener.latest("teaching").get("labels", [])}
    return LABEL in labels and (labels[LABEL]["state"], labels[LABEL]["presses"]) == ("ready", PRESSES)


def change_to(version: str, change: Callable[[], None], journey: Journey, steps: Steps, listener: Listener) -> None:
    """Let a change install another version, which restarts the service once."""
    starts = journey.machine.starts()
    with steps.step(f"perceptd {version}, until the node is back"):
        change()
        journey.wait(lambda: is_back(listener, version), f"health of {version}", EVENT_S)
    assert journey.machine.starts() == starts + 1


def background(listener: Listener) -> int:
    return int(listener.latest("teaching").get("places", {}).get(STREAM, {"background": 0})["background"])


def is_back(listener: Listener, version: str) -> bool:
    """Return whether a version runs, and its camera and microphone deliver. A still picture is no trouble here."""
    health = listener.latest("health")
    return health.get("version") == version and bool(health["streams"][STREAM]["available"])


def idle(journey: Journey, steps: Steps) -> float:
    """Let nothing happen for a while; return the PSS of the service in MB."""
    journey.camera.loop(None)
    time.sleep(IDLE_S)
    found = journey.memory()
    total_mb = sum(of["Pss"] for of in found.values()) / 1000
    steps.tell(f"{total_mb:.0f} MB PSS of the service, a still picture of 640x480 and silence: {json.dumps(found)}")
    return total_mb
