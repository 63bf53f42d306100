"""The course of a setup: what is written when, what is shown, and what is left as it was."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.node import load_config
from daemon.core.errors import Refused
from daemon.setup.answers import Given
from daemon.setup.choices import Choices
from daemon.setup.commands import Children, Done, doctor
from daemon.setup.finish import Finish
from daemon.setup.flow import Outcome, Ports, Setup, Stopped
from daemon.setup.found import FoundCamera, Level, SearchFailed
from daemon.setup.plan import read_before
from daemon.setup.questions import Questions, fresh_choices
from daemon.setup.service import Pause, Systemd
from daemon.setup.written import Place
from tests.fakes.setup import BAD, CLAP, GOOD, QUIET, Installed, Machine, Person
from tests.setup.test_service import RECOGNISES, START, commands, systemd

CAMERA = FoundCamera("rtsp://cam/x", "Camera")
FRESH = fresh_choices("hall", "digits")
# node, place, camera and its login, its sound, broker without TLS, its login, bundle
LOGIN = ["", "", "1", "me", "hunter2", "", "1", "no", "hall", "hunter3", ""]

HAND = """# by hand
node: porch
bundle: /mine
mqtt: {host: a, username: porch, password: hunter2}
streams:
  door: {camera: {device: 0, rotate: 90}}
history: {}
"""


class Course:
    """A setup of one config, with a person who gives these answers."""

    def __init__(self, directory: Path, *answers: str, commands: Installed | None = None, asks: bool = True) -> None:
        self.config = directory / "config.yaml"
        self.person, self.machine = Person(*answers), Machine([CAMERA])
        self.commands = commands or Installed()
        self.given: list[Path] = []
        self.bundles = directory
        self.asks = asks

    def run(self, choices: Choices = FRESH) -> Outcome:
        before = read_before(self.config)
        config = None if before is None else before.config
        questions = Questions(self.person, self.machine, Given(), config) if self.asks else None
        ports = Ports(
            self.person,
            self.machine,
            self.commands,
            self._stamp,
            self.given.append,
            self.bundles,
            Pause(Systemd(), ran=False),
        )
        self.setup = Setup(ports, Place(self.config), before, questions, None)
        return self.setup.run(choices)

    @property
    def said(self) -> str:
        return self.person.transcript

    def _stamp(self) -> str:
        return "DATE"


@pytest.fixture(autouse=True)
def _pictures(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pictures lie in a directory of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("pictures")))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_what_was_answered_is_written_and_tested(tmp_path: Path) -> None:
    course = Course(tmp_path, *LOGIN, "")
    outcome = course.run()
    config = load_config(course.config).document
    assert str(config.streams["room"].camera.device) == "rtsp://me:hunter2@cam/x"  # type: ignore[union-attr]
    assert (config.mqtt.username, config.mqtt.password_file) == ("hall", str(tmp_path / "mqtt-password"))
    assert (tmp_path / "mqtt-password").read_text() == "hunter3\n"
    assert outcome.works and outcome.backups == []
    assert course.machine.picture_of == config.streams["room"].camera
    assert outcome.picture is not None and course.given == [outcome.picture[0]]
    assert outcome.picture[0].stat().st_mode & 0o777 == 0o600
    outcome.picture[0].unlink()
    assert outcome.sound is not None and outcome.sound.clap is True
    assert "a clap" in course.said and "640x480" in course.said
    assert "hunter" not in course.said and "hunter" not in str(course.commands.ran)


@pytest.mark.parametrize("opens", [True, False])
def test_nobody_is_asked_to_clap_before_the_microphone_is_open(tmp_path: Path, *, opens: bool) -> None:
    course = Course(tmp_path, *LOGIN, "")

    def levels() -> Iterator[Level]:
        assert "Please clap" not in course.said
        if not opens:
            raise SearchFailed("camera: sends no sound")
        yield from CLAP

    course.machine.levels = levels()
    outcome = course.run()
    assert outcome.picture is not None
    outcome.picture[0].unlink()
    assert ("Please clap" in course.said, outcome.sound is not None) == (opens, opens)
    assert ("no sound: camera: sends no sound" in course.said) is not opens


class Attempts:
    """The levels of each time that the microphone is opened."""

    def __init__(self, *attempts: list[Level]) -> None:
        self._attempts = list(attempts)

    def __iter__(self) -> Iterator[Level]:
        return iter(self._attempts.pop(0))


@pytest.mark.parametrize(("answers", "claps"), [(["no"], False), ([""], True), (["", "", "no"], False)])
def test_without_a_clap_it_gives_advice_and_listens_again(tmp_path: Path, answers: list[str], *, claps: bool) -> None:
    course = Course(tmp_path, *LOGIN, "", *answers)
    course.machine.levels = Attempts(*[QUIET * 10 for _ in answers], *[CLAP] * claps)
    outcome = course.run()
    course.setup.remove_pictures()
    assert outcome.sound is not None and outcome.sound.clap is claps
    assert course.person.remaining == []
    advice = "Try again nearer to the microphone; see that it is not muted, and that it is this one."
    assert course.said.count(advice) == course.said.count("but no clap") == len(answers)


@pytest.mark.parametrize("asks", [True, False])
def test_the_picture_that_a_person_was_shown_goes_with_the_setup(tmp_path: Path, *, asks: bool) -> None:
    course = Course(tmp_path, *LOGIN, "", asks=asks)
    outcome = course.run(FRESH if asks else replace(FRESH, camera="rtsp://cam/x"))
    assert outcome.picture is not None and outcome.picture[0].exists()
    course.setup.remove_pictures()
    assert outcome.picture[0].exists() is not asks
    outcome.picture[0].unlink(missing_ok=True)
    course.setup.remove_pictures()
    assert ("the end of this setup removes it" in course.said, "then remove it" in course.said) == (asks, not asks)


def test_a_picture_for_which_there_is_no_place_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    course = Course(tmp_path, *LOGIN, "")
    outcome = course.run()
    assert outcome.works and outcome.picture is None and course.given == []
    assert "no picture: there is no place for its file: No such file or directory" in course.said


@pytest.mark.parametrize("answers", [["no"], ["<", "^D"], ["^D"]])
def test_nothing_is_written_before_somebody_agrees(tmp_path: Path, answers: list[str]) -> None:
    course = Course(tmp_path, *LOGIN, *answers)
    with pytest.raises((Stopped, EOFError)):
        course.run()
    assert names(tmp_path) == set()
    assert course.commands.ran == []


def test_a_config_by_hand_keeps_its_keys_and_the_losses_are_told_before_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(HAND)
    # another camera, and all else as it was
    course = Course(tmp_path, "", "", "2", "", "", "", "", "", "", "", "")
    before = read_before(course.config)
    assert before is not None and before.config is not None
    outcome = course.run(Choices("porch", "door", 0, None, ("a",), username="porch", bundle="/mine"))
    losses = course.said.index("not in the new one: streams.door.camera.rotate")
    comments = course.said.index("Its comments are not in the new one")
    named = course.said.index("config.yaml.before-setup-DATE")
    assert max(losses, comments, named) < course.said.index("Write it?") < course.said.index("wrote ")
    (backup,) = outcome.backups
    assert backup.read_text() == HAND
    config = load_config(course.config).document
    assert config.history is not None
    assert config.mqtt.password is not None and config.mqtt.password.get_secret_value() == "hunter2"
    assert "hunter2" not in course.said
    assert "-  door: {camera: {device: 0, rotate: 90}}" in course.said


def test_the_same_answers_again_write_nothing(tmp_path: Path) -> None:
    first = Course(tmp_path, *LOGIN, "")
    choices = first.run().plan.choices
    before = names(tmp_path)
    second = Course(tmp_path, *[""] * 9)
    outcome = second.run(replace(choices, password=None))
    assert "says all of this already" in second.said
    assert outcome.backups == [] and names(tmp_path) == before


def test_a_new_password_alone_is_told_as_such(tmp_path: Path) -> None:
    choices = Course(tmp_path, *LOGIN, "").run().plan.choices
    course = Course(tmp_path, *[""] * 7, "better", "", "")
    outcome = course.run(replace(choices, password=None))
    assert "Only the password of the broker changes." in course.said
    assert [backup.name for backup in outcome.backups] == ["mqtt-password.before-setup-DATE"]
    assert (tmp_path / "mqtt-password").read_text() == "better\n"


def test_what_does_not_work_is_told_and_the_answers_can_be_changed(tmp_path: Path) -> None:
    changed = ["", "", "", "", "", "", "you", "right", "", ""]
    commands = Installed(BAD, [{"check": "a", "level": "good", "found": "b", "remedy": None}])
    course = Course(tmp_path, *LOGIN, "", "1", *changed, commands=commands)
    outcome = course.run()
    assert outcome.works
    assert [backup.name.partition(".")[0] for backup in outcome.backups] == ["mqtt-password", "config"]
    assert load_config(course.config).document.mqtt.username == "you"
    assert (tmp_path / "mqtt-password").read_text() == "right\n"
    assert "FAIL  broker: refused the login; correct it" in course.said


def test_each_check_is_shown_when_it_ends(tmp_path: Path) -> None:
    shown: list[str] = []

    class Watched(Installed):
        def follow(self, arguments: Sequence[str], timeout_s: float, take: Callable[[str], None]) -> Done:
            done = super().follow(arguments, timeout_s, take)
            shown.extend(course.person.said[-2:])
            return done

    course = Course(tmp_path, *LOGIN, "", commands=Watched(GOOD + BAD))
    with pytest.raises(AssertionError, match="nobody answers: Number"):
        course.run()
    assert shown == ["  ok    config: good", "  FAIL  broker: refused the login; correct it"]
    assert "  1 of 2 checks are good" in course.said


def test_a_device_that_answers_late_is_asked_once_more(tmp_path: Path) -> None:
    late: list[dict[str, str | None]] = [{"check": "room/camera", "level": "failure", "found": "late", "remedy": None}]
    commands = Installed(GOOD + late, [*GOOD, {**late[0], "level": "good", "found": "pictures"}])
    course = Course(tmp_path, *LOGIN, "", commands=commands)
    assert course.run().works
    lines = [line for line in course.person.said if line.startswith(("  ok ", "  FAIL", "a device"))]
    assert lines == [
        "  ok    config: good",
        "  FAIL  room/camera: late",
        "a device has not answered in time; looking once more ...",
        "  ok    room/camera: pictures",
    ]
    always = Course(tmp_path, commands=Installed(late), asks=False)
    outcome = always.run(replace(FRESH, camera="rtsp://cam/x", microphone="camera"))
    assert not outcome.works
    # its failure is told once
    assert (always.machine.picture_of, outcome.sound) == (None, None) and "listening" not in always.said
    assert sum(command[0] == "doctor" for command in always.commands.ran) == 2


@pytest.mark.parametrize(("answer", "works"), [("2", False), ("3", None)])
def test_one_may_go_on_or_stop_although_something_does_not_work(
    tmp_path: Path, answer: str, *, works: bool | None
) -> None:
    course = Course(tmp_path, *LOGIN, "", answer, commands=Installed(BAD))
    if works is None:
        with pytest.raises(Stopped, match=r"is written$"):
            course.run()
    else:
        assert course.run().works is works


def test_answers_that_do_not_fit_each_other_are_asked_again(tmp_path: Path) -> None:
    wrong, back = ["", "", "2", "stream:none", "", "", "", "none", "2"], ["", "<", "<", "<", "<"]
    course = Course(tmp_path, *wrong, *back, "2", "", "", "", "", "none", "", "")
    course.run()
    assert "  streams.room.camera = 'stream:none': there is no stream none" in course.said
    assert str(load_config(course.config).document.streams["room"].camera.device) == CAMERA.device  # type: ignore[union-attr]


def test_without_questions_a_config_is_written_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(HAND)
    course = Course(tmp_path, asks=False)
    outcome = course.run(Choices("porch", "door", 1, None, bundle="home"))
    assert course.said.index("streams.door.camera.rotate") < course.said.index("wrote ")
    assert load_config(course.config).document.bundle == str(tmp_path / "home")
    assert course.commands.ran[0] == ("bundle", "get", "home")
    assert [backup.name for backup in outcome.backups] == ["config.yaml.before-setup-DATE"]


def test_a_bundle_that_cannot_be_made_leaves_all_as_it_was(tmp_path: Path) -> None:
    class Offline(Installed):
        def run(self, *arguments: object, **options: object) -> Done:
            return Done(78, "")

    with pytest.raises(Refused, match="the bundle home could not be made"):
        Course(tmp_path, asks=False, commands=Offline()).run(Choices("porch", "door", 1, bundle="home"))
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [("node: [", "cannot be read, so setup would lose"), ("node: a\nnoode: b\n", "unknown key; did you mean 'node'")],
)
def test_a_config_that_cannot_be_read_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Refused, match=message):
        read_before(tmp_path / "config.yaml")


def finish(tmp_path: Path, person: Person, commands: Installed, service: Systemd | None, config: Path) -> Finish:
    return Finish(person, commands, service or Systemd("missing"), config, service is not None)


def test_a_password_of_the_page_is_asked_twice_and_again_where_it_is_refused(tmp_path: Path) -> None:
    person, commands = Person("one", "two", "short", "short", "long enough", "long enough"), Installed()
    commands.refuses_password = 1
    finish(tmp_path, person, commands, None, tmp_path / "c").ask_password()
    assert commands.typed == ["short\n", "long enough\n"]
    assert "long enough" not in str(commands.ran) + person.transcript
    assert "The two are not the same" in person.transcript and "8 to 1000 characters" in person.transcript


@pytest.mark.parametrize(
    ("answers", "starts", "ran", "state", "log"),
    [
        ([""], True, False, "recognises", ["enable perceptd.service", *START]),
        (["no"], True, False, "left", []),
        ([], False, False, "left", []),
        ([], False, True, "recognises", START),
    ],
)
def test_the_service_starts_where_that_is_wanted(
    tmp_path: Path, answers: list[str], state: str, log: list[str], *, starts: bool, ran: bool
) -> None:
    person = Person(*answers)
    service = systemd(tmp_path, {"active": "activating", "status": "loading"}, RECOGNISES)
    done = finish(tmp_path, person, Installed(), service, tmp_path / "c")
    assert done.start(starts=starts, asks=bool(answers), ran=ran) == state
    assert commands(tmp_path) == log


def test_a_service_that_fails_says_where_to_look(tmp_path: Path) -> None:
    person = Person()
    done = finish(
        tmp_path, person, Installed(), systemd(tmp_path, {"active": "failed", "status": "no"}), tmp_path / "c"
    )
    assert done.start(starts=True, asks=False, ran=False) == "failed"
    said = person.transcript
    assert "the service is failed: no\nits log ends with:\n  cannot open rtsp://" in said
    assert said.endswith("\nall of its log: sudo journalctl -u perceptd -n 50") and "hunter2" not in said


def test_a_link_that_leads_nowhere_is_told_with_the_reason(tmp_path: Path) -> None:
    person, commands = Person(), Installed()
    done = finish(tmp_path, person, commands, None, tmp_path / "c")
    assert done.link() == "http://localhost:8099/link/abc" and person.said == ["making a link to the page ..."]
    commands.link_remark = "but the page cannot listen on 127.0.0.1:8099: Address already in use\n"
    assert done.link() == "http://localhost:8099/link/abc"
    assert "a link, but the page cannot listen on 127.0.0.1:8099: Address already in use" in person.transcript


def test_without_a_service_the_way_to_run_it_is_told(tmp_path: Path) -> None:
    person, config = Person(), tmp_path / "config.yaml"
    done = finish(tmp_path, person, Installed(), None, config)
    assert done.start(starts=True, asks=False, ran=False) == "absent"
    done.tell("absent", None)
    assert f"perceptd run --config {config}" in person.transcript


def test_a_doctor_that_does_not_answer_is_a_failure_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="perceptd doctor did not run to its end: exit code 2, and the reason is above"):
        doctor(Children(), Path("--json"), print)
    assert "--config needs a value" in capfd.readouterr().err
