"""The questions of a setup, as a person answers them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.node import Config
from daemon.core.document import parse_document
from daemon.setup.answers import Given
from daemon.setup.choices import Choices, choices_of
from daemon.setup.found import FoundAccelerator, FoundBroker, FoundCamera, FoundMicrophone
from daemon.setup.questions import Questions, fresh_choices
from tests.fakes.setup import Machine, Person

USB = FoundCamera("/dev/v4l/by-id/usb-cam", "USB Camera")
OPEN = FoundCamera("rtsp://192.168.1.20/cam", "IP Camera", "640x480")
ONVIF = FoundCamera("", "Yard", "192.168.1.21", needs_login=True, onvif="http://192.168.1.21/onvif")
YARD = [FoundCamera("rtsp://192.168.1.21/1", "main", "1920x1080", needs_login=True, has_sound=True)]
MIC = FoundMicrophone("pulse:alsa_input.usb", "USB microphone", is_default=True)
LOCAL = FoundBroker("127.0.0.1", 1883, "localhost", needs_login=True)
ANYBODY = FoundBroker("127.0.0.1", 1883, "localhost", needs_login=False)
ANNOUNCED = FoundBroker("broker.local", 8883, "mdns", needs_login=None, tls=True)
FRESH = fresh_choices("hall.example.org", "home")

# the answers before and after the one that a test is about
ALL = Given(node="n", stream="s", camera="0", microphone="none", broker="b", username="", bundle="digits")


def asked(machine: Machine, *answers: str, given: Given = ALL, choices: Choices = FRESH) -> tuple[Choices, Person]:
    person = Person(*answers)
    chosen = Questions(person, machine, given, None).ask(choices)
    assert person.remaining == [], person.transcript
    return chosen, person


def without(**names: None) -> Given:
    return replace(ALL, **names)


def test_who_takes_each_default_gets_what_was_found() -> None:
    machine = Machine([USB], [MIC], [ANYBODY], network=None)
    chosen, person = asked(machine, "", "", "", "", "", "", "", "", given=Given())
    assert chosen == Choices("hall", "room", USB.device, MIC.device, bundle="home")
    assert machine.network is True
    assert "1  USB Camera" in person.transcript


def test_nothing_is_asked_that_options_have_answered() -> None:
    assert asked(Machine())[0] == FRESH


@pytest.mark.parametrize(("downloads", "said"), [(True, ". Downloads 45 MB"), (False, ". No download")])
def test_a_download_is_told_where_no_directory_has_the_models(said: str, *, downloads: bool) -> None:
    person = Person("")
    Questions(person, Machine(), without(bundle=None), None, downloads=downloads).ask(FRESH)
    (home,) = re.findall(r"1  home: .* a person(.*)$", person.transcript, re.MULTILINE)
    assert home == said


def test_a_wrong_answer_is_asked_again_with_what_is_expected() -> None:
    chosen, person = asked(Machine(), "my hall", "a/b", "hall2", given=without(node=None))
    assert chosen.node == "hall2"
    assert "write my_hall" in person.transcript
    assert person.transcript.count("Please answer again, or type < to go back.") == 2


def test_an_answer_that_is_no_text_is_asked_again() -> None:
    chosen, person = asked(Machine(), "h\udce4ll", "hall", given=without(node=None))
    assert chosen.node == "hall"
    assert "expected UTF-8" in person.transcript


def test_one_can_go_back_over_several_questions_and_not_before_the_first() -> None:
    given = without(node=None, stream=None, bundle=None)
    chosen, _ = asked(Machine(), "<", "first", "place", "<", "<", "second", "", "2", given=given)
    assert (chosen.node, chosen.stream, chosen.bundle) == ("second", "place", "digits")


@pytest.mark.parametrize(
    ("answers", "camera"),
    [
        (["1"], USB.device),
        (["2", ""], OPEN.device),
        (["2", "me", "p@ss/w:%"], "rtsp://me:p%40ss%2Fw%3A%25@192.168.1.20/cam"),
        # a wrong login is asked again
        (["3", "me", "wrong", "me", "right", "1"], "rtsp://me:right@192.168.1.21/1"),
        (["3", "", "me", "right", "1"], "rtsp://me:right@192.168.1.21/1"),
        (["4", "7"], 7),
        (["4", "rtsp://cam:99999/x", "rtsp://u:p@cam/x"], "rtsp://u:p@cam/x"),
        (
            [
                "4",
                "ftp://cam/x",
                "http://cam/x",
                "",
            ],
            "http://cam/x",
        ),
        (["4", "film.mp4"], str(Path("film.mp4").absolute())),
        (["5"], None),
        (["6", "0", "x", "7", "1"], USB.device),
    ],
)
def test_a_camera_is_chosen(answers: list[str], camera: int | str | None) -> None:
    machine = Machine([USB, OPEN, ONVIF], services={ONVIF.onvif: (("me", "right"), YARD)})  # type: ignore[dict-item]
    chosen, person = asked(machine, *answers, given=without(camera=None))
    assert chosen.camera == camera
    assert "right" not in person.transcript and "p@ss" not in person.transcript


@pytest.mark.parametrize(
    ("camera", "answers", "microphone"),
    [
        ("rtsp://cam/x", [""], "camera"),
        ("rtsp://cam/x", ["2"], MIC.device),
        (0, [""], MIC.device),
        (0, ["2", "3"], 3),
        (0, ["2", ""], "default"),
        (0, ["3"], None),
    ],
)
def test_a_microphone_is_chosen(camera: int | str, answers: list[str], microphone: int | str | None) -> None:
    given, choices = without(microphone=None), replace(FRESH, camera=camera)
    assert asked(Machine(microphones=[MIC]), *answers, given=given, choices=choices)[0].microphone == microphone


def test_the_sound_of_a_camera_that_has_none_is_not_offered() -> None:
    given, silent = without(camera=None, microphone=None), replace(OPEN, has_sound=False)
    chosen, person = asked(Machine([silent]), "1", "", "", given=given)
    assert (chosen.camera, chosen.microphone) == (OPEN.device, None)
    assert "own stream" not in person.transcript


def test_a_camera_that_tells_of_no_stream_leads_back() -> None:
    machine = Machine([replace(ONVIF, needs_login=False), USB], services={str(ONVIF.onvif): (None, [])})
    chosen, person = asked(machine, "1", "2", given=without(camera=None))
    assert chosen.camera == USB.device
    assert "This camera tells of no stream" in person.transcript


def test_a_microphone_that_the_new_camera_has_not_is_not_offered() -> None:
    choices = replace(FRESH, camera=0, microphone="camera")
    chosen, person = asked(Machine(), "", given=without(microphone=None), choices=choices)
    assert chosen.microphone is None
    assert "as it is" not in person.transcript


def test_a_place_needs_a_camera_or_a_microphone() -> None:
    machine = Machine([USB])
    chosen, person = asked(machine, "3", "", "1", "", given=without(camera=None, microphone=None))
    assert (chosen.camera, chosen.microphone) == (USB.device, None)
    assert "A place needs a camera or a microphone." in person.transcript


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["1", "", "secret"], (("127.0.0.1",), 1883, False, None, "hall", "secret")),
        (["2", "", "", "me", "secret"], (("broker.local",), 8883, True, None, "me", "secret")),
        (["2", "yes", "/ca.pem", "none"], (("broker.local",), 8883, True, "/ca.pem", None, None)),
        (["3", "b:1:2", "[::1]:8884", "n", "me", "", "secret"], (("::1",), 8884, False, None, "me", "secret")),
        (["3", "b", "<", "1", "none"], (("127.0.0.1",), 1883, False, None, None, None)),
    ],
)
def test_a_broker_and_its_login_are_chosen(answers: list[str], expected: tuple[object, ...]) -> None:
    given = without(broker=None, username=None)
    chosen, person = asked(Machine(brokers=[LOCAL, ANNOUNCED]), *answers, given=given)
    assert (chosen.hosts, chosen.port, chosen.tls, chosen.ca_file, chosen.username, chosen.password) == expected
    assert "secret" not in person.transcript


def test_where_no_broker_answers_the_way_to_one_is_told() -> None:
    chosen, person = asked(Machine(), "", "", "none", given=without(broker=None, username=None))
    assert (chosen.hosts, chosen.port) == (("127.0.0.1",), 1883)
    assert "sudo apt-get install mosquitto" in person.transcript


def test_the_models_for_an_edge_tpu_are_offered_where_one_works() -> None:
    coral = FoundAccelerator("edgetpu:usb", "Coral", works=True)
    broken = replace(coral, works=False, problem="no library")
    for accelerators, chosen in (([coral], "home-coral"), ([broken], "digits"), ([], "digits")):
        assert asked(Machine(accelerators=accelerators), "2", given=without(bundle=None))[0].bundle == chosen


BEFORE = """
node: porch
bundle: /mine
mqtt: {host: [a.example, b.example], port: 8883, tls: {ca_file: /ca.pem}, username: porch, password_file: secret}
streams:
  door: {camera: "rtsp://me:hunter2@cam/x", microphone: camera}
  yard: {microphone: default}
"""


def test_a_second_setup_offers_what_the_config_has_without_its_passwords() -> None:
    before = parse_document(Path("config.yaml"), BEFORE.encode(), Config).document
    old = choices_of(before, FRESH)
    person = Person(*[""] * 11)
    chosen = Questions(person, Machine(network=False), Given(), before).ask(old)
    assert chosen == old, person.transcript
    assert person.remaining == [""]
    assert "hunter2" not in person.transcript
    assert "The config has these places: door, yard." in person.transcript


def test_another_place_has_its_own_devices() -> None:
    before = parse_document(Path("config.yaml"), BEFORE.encode(), Config).document
    old = choices_of(before, FRESH)
    given = without(stream=None, camera=None, microphone=None)
    yard = Questions(Person("yard", "", ""), Machine([USB]), given, before).ask(old)
    assert (yard.camera, yard.microphone) == (None, "default")
    silent = replace(old, microphone=None)
    assert Questions(Person("", "", ""), Machine([USB]), given, before).ask(silent) == silent
    other = replace(old, microphone="pulse:x")
    assert Questions(Person("", "", ""), Machine([USB]), given, before).ask(other) == other
    new = Questions(Person("garden", "1", ""), Machine([USB]), given, before).ask(old)
    assert (new.camera, new.microphone) == (USB.device, None)
