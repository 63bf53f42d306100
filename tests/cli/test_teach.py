"""`perceptd teach` against a node that answers as it is told to, over a real broker."""

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import teach as teach_command
from daemon.cli.main import main
from daemon.cli.parser import parse
from daemon.cli.parser_teach import ACTIONS
from daemon.cli.teach import arguments_of, full_id, teach
from daemon.cli.teach_outcome import Patience, is_taught, outcome_text
from daemon.cli.teach_text import Examples, Listed, listing, taken_lines
from daemon.config.mqtt import MqttConfig
from daemon.mqtt.commands import AnswerPayload, InvalidCommand, Request, parse_arguments
from daemon.mqtt.session import Session
from daemon.mqtt.teaching_payloads import PlacePart, TeachingPayload
from tests.fakes.teaching import TIME, question, taught, teaching
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.ports import free_port

EXAMPLE = "3f9a1c7e5b2d4a60b8c1d2e3f4a5b6c7"
TAKEN = {"example": EXAMPLE, "label": "kettle boils", "moments": 9, "senses": ["image", "audio"], "left_out": []}
ROW = {"id": EXAMPLE, "label": "kettle boils", "stream": "kitchen", "time": TIME, "origin": "press", "picture": True}
QUICK = Patience(settled_s=0.3, work_s=0.6)

# what the node does at a command: the fields of its answer, and what it publishes then
Behaviour = tuple[dict[str, Any], Sequence[TeachingPayload]]


class TaughtNode:
    """The session of a node. It answers each command as `behaviour` says, and keeps the requests. A context manager."""

    def __init__(self, broker: Mosquitto, first: TeachingPayload, **behaviour: Behaviour) -> None:
        self._broker, self._first, self._behaviour = broker, first, behaviour
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self._requests: queue.Queue[Request | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="taught-node")
        self._stack = ExitStack()

    def __enter__(self) -> "TaughtNode":
        state = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._session = Session(MqttConfig(port=self._broker.port), "node", state)
        self._session.start({}, self)
        self._stack.callback(self._session.stop, 3.0)
        wait_until(lambda: self._session.connected, "connected")
        self._publish(self._first)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._thread.join()
        self._stack.close()

    def take(self, request: Request) -> None:
        self._requests.put(request)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                parse_arguments(request)
            except InvalidCommand as error:
                self._answer(request, {"ok": False, "reason": str(error)})
                continue
            self.commands.append((request.name, json.loads(request.payload)))
            fields, payloads = self._behaviour.get(request.name, ({}, ()))
            self._answer(request, fields)
            for payload in payloads:
                self._publish(payload)

    def _answer(self, request: Request, fields: dict[str, Any]) -> None:
        answer = AnswerPayload(command=request.name, ok=True, time=TIME).model_copy(update=fields)
        self._session.publish_answer(request, answer)

    def _publish(self, payload: TeachingPayload) -> None:
        """Publish and wait until the payload is sent: the next one would replace a retained payload still queued."""
        before = self._session.status()["published"]
        self._session.publish("teaching", payload.to_json(), retain=True, qos=1)
        wait_until(lambda: self._session.status()["published"] > before, "published")


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `perceptd teach` with arguments; returns its exit code, stdout and stderr."""

    def run_teach(*arguments: str) -> tuple[int, str, str]:
        node = ["--broker", f"127.0.0.1:{broker.port}", "--node", "node"]
        code = teach(parse(["teach", *arguments, *node]), QUICK, lambda: 0.0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_teach


@pytest.fixture
def known(broker: Mosquitto) -> Iterator[TaughtNode]:
    """A node that was taught a label by five presses."""
    listed = {"result": {"examples": [ROW], "left_out": 0}}
    report = {"result": {"text": ["kettle boils: heard in 5 of 5", "  carried by the sound"], "report": {}}}
    behaviour: dict[str, Behaviour] = {"teach_list": (listed, ()), "teach_report": (report, ())}
    undone = {"reason": "undone: kettle boils was taught"}
    with TaughtNode(broker, teaching(taught()), **behaviour, teach_undo=(undone, ())) as node:
        yield node


def test_a_press_is_answered_and_followed_until_the_label_is_ready(broker: Mosquitto, run: Run) -> None:
    steps = [
        teaching(taught(presses=1, state="waiting", text="waits", tried=None, found=None)),
        teaching(taught(presses=1, state="fitting", text="is fitted", tried=None, found=None)),
        teaching(taught(presses=1, text="1 press, ready", tried=None, found=None)),
    ]
    with TaughtNode(broker, teaching(), teach=({"result": TAKEN}, steps)) as node:
        code, output, errors = run("kettle boils", "--stream", "kitchen")
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "kettle boils: example 3f9a1c7e has 9 moments of picture and sound",
        "kettle boils: 1 press, ready",
    ]
    arguments = {"label": "kettle boils", "stream": "kitchen", "seconds": 5.0, "ago_s": 0.0, "everywhere": False}
    assert node.commands == [("teach", arguments)]


def test_a_press_in_a_place_that_is_not_known_says_what_it_waits_for(broker: Mosquitto, run: Run) -> None:
    text = "1 press, learning this place: 12 of 30, about 3 minutes more"
    learning = teaching(taught(presses=1, state="learning_place", text=text, tried=None, found=None))
    with TaughtNode(broker, teaching(), teach=({"result": TAKEN}, [learning])):
        code, output, _ = run("kettle boils")
    assert code == 0
    assert output.splitlines()[-2:] == [
        f"kettle boils: {text}",
        "  the node then fits it by itself; perceptd watch shows when it is in use",
    ]


def test_what_is_of_no_use_is_told_and_a_refused_press_has_its_reason(broker: Mosquitto, run: Run) -> None:
    dark = TAKEN | {"senses": ["audio"], "left_out": ["the picture is dark"]}
    refused = {"ok": False, "reason": "the sound is silent, and there is no picture"}
    with TaughtNode(broker, teaching(), teach=({"result": dark}, ()), teach_missed=(refused, ())):
        assert run("kettle boils", "--no-wait") == (
            0,
            "kettle boils: example 3f9a1c7e has 9 moments of sound\n  left out: the picture is dark\n",
            "",
        )
        code, output, _ = run("missed", "kettle boils")
        assert (code, output) == (1, "refused: the sound is silent, and there is no picture\n")
        code, output, _ = run("missed", "a/b")
        assert code == 1
        assert "expected printable text without / + #" in output


def test_a_label_with_a_problem_and_a_fit_that_hangs_end_with_1(broker: Mosquitto, run: Run) -> None:
    problem = teaching(taught(presses=6, state="problem", text="6 presses, cannot be told from kettle hisses"))
    with TaughtNode(broker, teaching(taught()), teach=({"result": TAKEN}, [problem])):
        code, output, _ = run("kettle boils")
        assert (code, output.splitlines()[-1]) == (1, "kettle boils: 6 presses, cannot be told from kettle hisses")
    hanging = teaching(taught(presses=6, state="fitting", text="6 presses, being fitted"))
    with TaughtNode(broker, teaching(taught()), teach=({"result": TAKEN}, [hanging])):
        code, _, errors = run("kettle boils")
        assert code == 1
        assert "nothing new for 0.6 s; it says: kettle boils: 6 presses, being fitted" in errors


def test_list_shows_labels_places_the_question_and_examples(known: TaughtNode, run: Run) -> None:
    code, output, _ = run("list")
    assert code == 0
    assert "3f9a1c7e  2026-01-31" in output
    found = json.loads(run("list", "--json")[1])
    assert [each["id"] for each in found["examples"]] == [EXAMPLE]
    assert TeachingPayload.model_validate(found["teaching"]).labels[0].label == "kettle boils"


def test_the_answer_to_a_report_and_an_undo_is_shown_in_words(known: TaughtNode, run: Run) -> None:
    assert run("report") == (0, "kettle boils: heard in 5 of 5\n  carried by the sound\n", "")
    assert run("undo") == (0, "undone: kettle boils was taught\n", "")
    assert json.loads(run("report", "kettle boils", "--json")[1])["command"] == "teach_report"


def test_remove_takes_the_beginning_of_an_id(known: TaughtNode, run: Run) -> None:
    assert run("remove", "3f9a1c7e") == (0, "removed; perceptd teach undo brings it back within an hour\n", "")
    assert known.commands[-1] == ("teach_remove", {"example": EXAMPLE})
    assert full_id("3f", Examples(examples=[])) == "3f"
    two = Examples.model_validate({"examples": [ROW, ROW | {"id": "3f00"}]})
    assert [full_id(given, two) for given in ("3f", "3f0")] == ["3f", "3f00"]


def test_an_offline_node_shows_what_it_published_last(broker: Mosquitto, run: Run) -> None:
    broker.publish("perceptd/node/availability", b"offline", retain=True)
    broker.publish("perceptd/node/teaching", teaching(taught()).to_json(), retain=True)
    with Subscriber(broker, "perceptd/node/teaching") as subscriber:
        subscriber.wait_for("perceptd/node/teaching")
    code, output, errors = run("list")
    assert (code, output.startswith("teaching  kettle boils: 5 presses")) == (0, True)
    assert "is offline; this is what it published last" in errors
    code, output, errors = run("kettle boils")
    assert (code, output) == (1, "")
    assert errors.endswith(" is offline\n")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (["kettle boils", "--ago", "3", "--everywhere"], {"label": "kettle boils", "ago_s": 3.0, "everywhere": True}),
        (["press", "list", "--seconds", "2"], {"label": "list", "seconds": 2.0}),
        (["--stream", "s", "kettle boils"], {"label": "kettle boils", "stream": "s"}),
        (["missed", "kettle boils"], {"label": "kettle boils", "seconds": 5.0}),
        (["wrong"], {}),
        (["wrong", "5d0c", "--stream", "s"], {"event": "5d0c", "stream": "s"}),
        (["answer", "was", "tap runs"], {"answer": "was", "label": "tap runs"}),
        (["answer", "right", "--question", "q1"], {"answer": "right", "question": "q1"}),
        (["forget", "kettle boils"], {"label": "kettle boils"}),
        (["report"], {}),
    ],
)
def test_what_is_typed_becomes_the_arguments_of_the_command(line: list[str], command: dict[str, Any]) -> None:
    found = arguments_of(parse(["teach", *line]))
    assert {name: found[name] for name in command} == command
    assert set(found) - set(command) <= {"seconds", "ago_s", "everywhere"}


def test_a_press_counts_from_when_it_was_typed() -> None:
    options = parse(["teach", "kettle boils", "--ago", "3"])
    assert [arguments_of(options, age_s)["ago_s"] for age_s in (0.0, 2.34, 60.0)] == [3.0, 5.3, 10.0]
    code = "import time; time.sleep(0.5); from daemon.cli.teach import process_age_s; print(process_age_s())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert 0.5 <= float(done.stdout) < 60


@pytest.mark.parametrize("line", [["list"], ["undo"], ["kettle boils"], ["remove", EXAMPLE]])
def test_without_a_broker_nothing_else_is_blamed(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teach_command, "ANSWER_S", 0.3)
    assert main(["teach", *line, "--broker", f"127.0.0.1:{free_port()}", "--node", "node"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(" s: no connection to the broker")


def test_the_list_of_a_node_that_is_not_there_does_not_name_itself_as_the_remedy(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teach_command, "ANSWER_S", 0.3)
    assert main(["teach", "list", "--broker", f"127.0.0.1:{broker.port}", "--node", "nobody"]) == 1
    errors = capsys.readouterr().err
    assert "has not published its teaching within 0.3 s; either no node has published there" in errors
    assert "perceptd teach list" not in errors


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["lsit"], "did you mean perceptd teach list? To teach the label 'lsit': perceptd teach press lsit"),
        (["kettle", "boils"], 'a label of several words needs quotes: perceptd teach "kettle boils"'),
        (["missed", "kettle", "boils", "--ago", "2"], 'perceptd teach missed "kettle boils"'),
        (["answer", "was", "tap", "runs"], 'perceptd teach answer was "tap runs"'),
        (["list", "all"], "unrecognized arguments: all"),
        (["--json", "list"], "write the action first: perceptd teach list …"),
        (["kettle", "--seconds", "6"], "expected 1 to 5 seconds"),
        (["kettle", "--ago", "now"], "expected 0 to 10 seconds"),
        (["answer", "maybe"], "invalid choice: 'maybe'"),
        (["export"], "one of the arguments --examples --name is required"),
        ([], "the following arguments are required: ACTION"),
    ],
)
def test_a_mistyped_action_teaches_nothing(line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["teach", *line])
    assert message in capsys.readouterr().err


def test_every_action_has_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ([], *([each] for each in ACTIONS)):
        with pytest.raises(SystemExit) as caught:
            main(["teach", *action, "--help"])
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith("usage: perceptd teach")


BEFORE = teaching(taught())


@pytest.mark.parametrize(
    ("before", "now", "is_done"),
    [
        (teaching(), teaching(), False),
        (BEFORE, BEFORE, False),
        (BEFORE, teaching(taught(presses=6, tried=5)), False),  # the report of before the press
        (BEFORE, teaching(taught(presses=6, state="waiting", tried=5)), False),
        (BEFORE, teaching(taught(presses=6, tried=6)), True),
        (BEFORE, teaching(taught(wrong=1)), True),
        (teaching(), teaching(taught(presses=1, tried=None)), True),
        (teaching(), teaching(taught(presses=1, state="learning_place", tried=None)), True),
        (BEFORE, teaching(taught(presses=6, state="problem", tried=6)), False),  # it may be tried again at once
    ],
)
def test_when_a_command_has_done_what_can_be_done(before: TeachingPayload, now: TeachingPayload, is_done: bool) -> None:
    assert is_taught("kettle boils", before, now) is is_done


def test_a_command_about_all_labels_ends_with_what_is_said_of_all() -> None:
    assert outcome_text(None, teaching(taught(), text="all is well")) == (True, "all is well")
    assert outcome_text(None, teaching(taught(state="problem"), text="one is not")) == (False, "one is not")
    assert QUICK.seconds(None, teaching(taught(), taught("b", state="fitting"))) == 0.6


def test_the_listing_reads_like_this() -> None:
    labels = [
        taught(warnings=["recognised by the picture, hardly by the sound"]),
        taught("bell", streams=["hall"], everywhere=True, state="fitting", text="2 presses, being fitted"),
    ]
    places = {"kitchen": PlacePart(background=430, needed=30), "hall": PlacePart(background=12, needed=30)}
    payload = teaching(*labels, places=places, question=question(), next_label="bell")
    rows = [Listed.model_validate(ROW), Listed.model_validate(ROW | {"id": "77", "picture": False})]
    lines = listing(payload, Examples(examples=rows, left_out=3))
    shown = [line if "2026" not in line else line[: line.index("2026")] for line in lines]
    assert shown == [
        "teaching    kettle boils: 5 presses, ready, heard in 5 of 5",
        "label       kettle boils (kitchen): 5 presses, ready, heard in 5 of 5; false alarms a day: 0.4 (0.1 to 1.2, "
        "from 26 h of background)",
        "              recognised by the picture, hardly by the sound",
        "            bell (everywhere): 2 presses, being fitted",
        "place       kitchen: 430 moments of background",
        "            hall: 12 moments of background, 30 are needed",
        "next label  bell",
        "question    kitchen, 12:00:04: was this kettle boils? (perceptd teach answer right | wrong | was LABEL)",
        "example     3 older ones are not listed",
        "            3f9a1c7e  ",
        "            77  ",
    ]
    assert lines[-1].endswith("  kettle boils  kitchen  press  embeddings only")


@pytest.mark.parametrize("result", [None, {}, {"example": 7}, {"example": "e", "label": "a", "senses": "x"}])
def test_an_answer_of_another_version_is_read_as_far_as_it_can_be(result: dict[str, Any] | None) -> None:
    assert taken_lines(result) == []


@pytest.mark.parametrize(
    ("label", "is_remarked"),
    [("garage:open", True), ("garage: open", False), ("bus 10:30", False), ("kettle", False), (":", False)],
)
def test_a_label_that_may_be_meant_as_a_state_is_remarked(label: str, is_remarked: bool) -> None:
    lines = taken_lines(TAKEN | {"label": label})
    assert any('a state has a blank behind the colon, "garage: open"' in line for line in lines) == is_remarked
    assert len(lines) == 1 + is_remarked


def test_control_characters_of_a_node_do_not_reach_the_terminal() -> None:
    text = "\x1b[2J"
    lines = taken_lines({"example": text, "label": text, "moments": 1, "senses": [text], "left_out": [text]})
    payload = teaching(taught(text, streams=[text], text=text, warnings=[text]), next_label=text, text=text)
    lines += listing(payload, Examples(examples=[Listed(id=text, label=text, stream=text, time=TIME, origin=text)]))
    assert all(line.isprintable() for line in lines)
