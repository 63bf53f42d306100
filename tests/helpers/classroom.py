"""The teaching of a node without a thread, on a real store, with fake streams and fits."""

import json
import time
from pathlib import Path

import numpy as np

from daemon.config.node import Config
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S
from daemon.mqtt.commands import AnswerPayload, Request, parse_arguments
from daemon.node.background import Background
from daemon.node.derivation import Derivation, NewBases
from daemon.node.encoding_again import EncodingAgain
from daemon.node.fit_ports import Outcome
from daemon.node.fit_record import FitRecordFile
from daemon.node.fits import QUIET_NS, Fits
from daemon.node.presses import Presses
from daemon.node.teaching_file import TeachingFile
from daemon.node.teaching_inbox import TeachingCommand
from daemon.node.teaching_state import TeachingFacts, teaching_payload
from daemon.node.teaching_work import RECOUNT_NS, AnswerSink, TeachingParts, TeachingWork
from daemon.teaching.records import NEEDED_BACKGROUND, BackgroundMoment, Peak
from daemon.teaching.store import TeachingStore
from tests.fakes.fits import FakeFitRunner, FakeInstaller
from tests.fakes.teaching_input import ENCODERS, FakeInput

TIME = "2026-01-31T12:00:04.300110Z"
VECTORS = {"ear": np.ones(4, np.float32)}
PRESS_NS = 2 * NS_PER_S


class Class:
    """The work of a node with one stream, and a clock that only `after` moves."""

    def __init__(
        self, directory: Path, live: FakeInput | None = None, answers: AnswerSink | None = None, **teaching: object
    ) -> None:
        """`answers` gets the answers to commands; without it they are in the list of the same name."""
        self.directory = directory
        self.live = live or FakeInput()
        settings = {"node": "n", "bundle": "b", "streams": {"kitchen": {"camera": 0}}, "teaching": teaching}
        config = Config.model_validate(settings)
        self.runner, self.installer, self.counters = FakeFitRunner(), FakeInstaller(), Counters()
        record = FitRecordFile(directory / "fit.json")
        fits = Fits(self.runner, self.installer, record, directory / "new")
        self.bases = NewBases(can_teach=True)
        self.file = TeachingFile(directory / "teaching" / "teaching.db")
        parts = TeachingParts(
            live=self.live,
            file=self.file,
            presses=Presses(),
            background=Background(self.live, self.counters),
            encoding=EncodingAgain(self.live, self.counters),
            fits=fits,
            derivation=Derivation(self.bases, fits, config.teaching),
        )
        self.answers: list[AnswerPayload] = []
        self.work = TeachingWork(config, parts, answers or self, self.counters)
        self.now_ns = 1000 * NS_PER_S

    def publish_answer(self, request: Request, answer: AnswerPayload) -> bool:
        self.answers.append(answer)
        return True

    def send(self, command: str, /, **arguments: object) -> AnswerPayload | None:
        """Send a command; return the answer, unless it comes later."""
        request = Request(command, json.dumps(arguments).encode())
        before = len(self.answers)
        self.work.obey(TeachingCommand(request, parse_arguments(request), self.now_ns), self.now_ns)
        return self.answers[-1] if len(self.answers) > before else None

    def after(self, ns: int = NS_PER_S) -> TeachingFacts:
        """Let time pass and look once."""
        self.now_ns += ns
        self.work.look(self.now_ns, is_busy=True)
        return self.work.facts

    def press(self, label: str = "kettle boils", **arguments: object) -> AnswerPayload:
        """Press, and wait for the answer."""
        refusal = self.send("teach", label=label, **arguments)
        if refusal is None:
            self.after(PRESS_NS)
        return self.answers[-1]

    @property
    def store(self) -> TeachingStore:
        return self.file.open(self.now_ns)

    def learn_place(self, count: int = NEEDED_BACKGROUND, stream: str = "kitchen") -> None:
        for second in range(count):
            self.store.add_background(BackgroundMoment(stream, 1e9 + second, ENCODERS, VECTORS))
        self.after(RECOUNT_NS)

    def fit(self, *labels: str) -> None:
        """Wait for the fit that is due, let it succeed, and let its bundle become active."""
        self.after()
        self.after(QUIET_NS)
        fit = self.runner.fits[-1]
        fit.end(*labels)
        self.after()
        bundle = f"home@{fit.order.version}"
        self.installer.outcomes[bundle] = Outcome("active")
        self.live.switch(*labels, id=bundle, number=fit.order.number)
        self.after()

    def text(self) -> str:
        return teaching_payload(self.work.facts, TIME).text


def peak(event: str = "e1", label: str = "kettle boils", stream: str = "kitchen") -> Peak:
    return Peak(event, label, stream, time.time(), 0.9, ENCODERS, VECTORS)
