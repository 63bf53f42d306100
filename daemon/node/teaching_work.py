"""What the thread `teaching` does in each round: presses, background, peaks, fits and questions, all on the store."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from daemon.config.node import Config
from daemon.core.errors import InputError, TeachingError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S
from daemon.mqtt.commands import (
    AnswerPayload,
    InvalidCommand,
    Request,
    TeachAnswerArguments,
    TeachArguments,
    answer_to,
)
from daemon.node.background import Background
from daemon.node.derivation import Derivation
from daemon.node.encoding_again import EncodingAgain
from daemon.node.fit_record import FitBasis, doublings, event_times
from daemon.node.fits import Fits, Wanted
from daemon.node.presses import Press, Presses, taken_from
from daemon.node.questions import Reviewer, answer, answer_about, latest_question
from daemon.node.taught_goal import Goal, goal_of
from daemon.node.teaching_commands import Done, TeachingCommands, check_label
from daemon.node.teaching_file import TeachingFile
from daemon.node.teaching_inbox import STOPPING, TeachingCommand
from daemon.node.teaching_input import TaughtOnto, TeachingInput
from daemon.node.teaching_state import LabelFacts, TeachingFacts, can_be_fitted, known_places, lost_label
from daemon.teaching.store import TeachingStore

log = logging.getLogger(__name__)

# how often the disk is asked for changes, which other processes make too
LOOK_EVERY_NS = NS_PER_S

# how often the background is counted although this node has stored none
RECOUNT_NS = 30 * NS_PER_S


class AnswerSink(Protocol):
    """Publishes answers to commands; see Session."""

    def publish_answer(self, request: Request, answer: AnswerPayload) -> bool:
        """Queue the answer to a command; return False when it was dropped and counted. Never blocks."""


@dataclass(frozen=True, slots=True)
class TeachingParts:
    """What teaching consists of. Used by the thread `teaching`."""

    live: TeachingInput
    file: TeachingFile
    presses: Presses
    background: Background
    encoding: EncodingAgain
    fits: Fits
    derivation: Derivation


class TeachingWork:
    """All of teaching but its thread. Used by the thread `teaching`, which alone waits for the disk.

    An error of the disk harms one press, one moment of background or one peak: it is counted, and `facts` tells it.
    `counters` counts as dropped what was not stored or not answered.
    """

    def __init__(self, config: Config, parts: TeachingParts, answers: AnswerSink, counters: Counters) -> None:
        self._config, self._answers, self._counters = config, answers, counters
        self._live, self._file, self._presses = parts.live, parts.file, parts.presses
        self._background, self._encoding = parts.background, parts.encoding
        self._unwritten = parts.background.unwritten
        self._fits, self._derivation = parts.fits, parts.derivation
        self._reviewer = Reviewer()
        self._labels: tuple[int, list[LabelFacts]] | None = None
        self._places: dict[str, int] = {}
        self._doubled: dict[str, int] = {}
        self._places_of: TaughtOnto | None = None
        self._counted_ns = 0
        self._looked_ns: int | None = None
        self.facts = TeachingFacts(config.node, parts.live.bundle.id)

    def obey(self, command: TeachingCommand, now_ns: int) -> None:
        """Obey a command, and answer it. A press is answered once it is stored."""
        request, arguments = command.request, command.arguments
        try:
            store = self._file.open(now_ns)
            self._unwritten.write(store)  # a command may be about an event that has just ended
            if isinstance(arguments, TeachArguments):
                self._press(store, command, arguments)
                return
            labels = frozenset(label.name for label in self._label_facts(store))
            if isinstance(arguments, TeachAnswerArguments):
                done = self._answer(store, arguments, labels)
            else:
                goal = self._goal(store, self._label_facts(store), self._background_counts(store, now_ns))
                commands = TeachingCommands(store, self._live, self._fits, labels, goal)
                done = commands.obey(request.name, arguments)
        except (InvalidCommand, TeachingError) as error:
            self._refuse(request, error)
        else:
            self._done(request, done)

    def _answer(self, store: TeachingStore, arguments: TeachAnswerArguments, labels: frozenset[str]) -> Done:
        if arguments.event is not None:
            return answer_about(store, arguments, arguments.event, self._live, labels)
        return answer(store, arguments, self._live.bundle, labels)

    def look(self, now_ns: int, *, is_busy: bool) -> None:
        """Do what is due. With `is_busy` a command was obeyed: its effect is told at once."""
        for press in self._presses.due(now_ns):
            self._take(press, now_ns)
            is_busy = True
        if not is_busy and self._looked_ns is not None and now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        try:
            self._fits.load()
            self._look(self._file.open(now_ns), now_ns)
        except TeachingError as error:
            self._note(error)
            self._derivation.refuse(str(error), self._live.bundle)
        except OSError as error:
            self._note(TeachingError("disk", f"{error.filename}: {error.strerror or error}"))

    def close(self, waiting: Iterable[TeachingCommand], now_ns: int) -> None:
        """Refuse what waits, store the peaks of the events that the stop has ended, and end a fit."""
        requests = [each.request for each in waiting] + [press.request for press in self._presses.give_up()]
        for request in requests:
            self._counters.drop("stopping")
            self._refuse(request, InvalidCommand(STOPPING))
        try:
            store = self._file.open(now_ns)
            self._take_peaks(store)
            self._unwritten.write(store)
        except TeachingError as error:
            self._note(error)
        self._derivation.close()
        self._fits.close()
        self._file.close()

    def _look(self, store: TeachingStore, now_ns: int) -> None:
        self._take_peaks(store)
        labels = self._label_facts(store)
        if labels:
            store.forget_problem()
        taught = self._live.bundle.taught.union(label.name for label in labels)
        if self._background.look(store, taught, now_ns):
            self._places_of = None
        self._encoding.look(store)
        known = self._background_counts(store, now_ns)
        places = {name: known.get(name, 0) for name in sorted(self._live.streams)}
        doubled = doublings(places)  # a fit that this causes reads what is stored
        is_urgent = doubled != self._doubled or len(doubled) < len(places)
        self._unwritten.write_due(store, now_ns, is_urgent=is_urgent)
        self._doubled = doubled
        wanted = self._wanted(store, places, self._goal(store, labels, known))
        if not self._derivation.look(store, wanted, self._live.bundle, now_ns):
            self._fits.look(wanted, now_ns)
        self.facts = self._new_facts(store, labels, places, wanted.goal)

    def _press(self, store: TeachingStore, command: TeachingCommand, arguments: TeachArguments) -> None:
        label, bundle = arguments.label or store.next_label(), self._live.bundle
        if label is None:
            raise InvalidCommand("label: is missing, and no command teach_label has set it")
        check_label(label, bundle)
        stream = self._stream(arguments.stream)
        if self._live.is_paused(stream):
            raise InvalidCommand(f"stream {stream} is paused")
        lateness = self._live.lateness(stream)
        press = self._presses.add(command.request, arguments, label, stream, command.taken_ns, lateness)
        self._background.show(stream, press.start_ns, press.end_ns)

    def _stream(self, name: str | None) -> str:
        streams = sorted(self._live.streams)
        if name is None and len(streams) == 1:
            return streams[0]
        if name is None:
            raise InvalidCommand(f"stream: is missing; there are {', '.join(streams)}")
        if name not in streams:
            raise InvalidCommand(f"no live stream {name[:64]!r}; there are {', '.join(streams)}")
        return name

    def _take(self, press: Press, now_ns: int) -> None:
        """Store what a press shows, and answer it."""
        try:
            store = self._file.open(now_ns)
            shown = self._live.show(press.stream, press.start_ns, press.end_ns)
            others = store.moments_of_label(press.label)
            overlaps = self._presses.overlaps(press, {each.id for each in store.examples()})
            taken = taken_from(press, shown, self._live.bundle, self._config.teaching, others, overlaps=overlaps)
            store.add_example(taken.example, everywhere=press.everywhere)
            self._presses.note_stored(press, taken.example.id)
        except (InvalidCommand, InputError, TeachingError) as error:
            self._refuse(press.request, error)
        else:
            self._done(press.request, taken.done)

    def _take_peaks(self, store: TeachingStore) -> None:
        for peak in self._live.ended_peaks():
            self._unwritten.add_peak(peak)
            self._reviewer.consider(store, peak, self._live.bundle)
        for peak in self._live.near_misses():
            self._reviewer.consider(store, peak, self._live.bundle, recognised=False)

    def _label_facts(self, store: TeachingStore) -> list[LabelFacts]:
        """Return the taught labels. They are read again after a change, of another process too."""
        changes = store.changes()
        if self._labels is None or self._labels[0] != changes:
            self._labels = changes, label_facts(store)
        return self._labels[1]

    def _background_counts(self, store: TeachingStore, now_ns: int) -> dict[str, int]:
        """Return the moments of background of each stream. To count them takes a while on a slow card."""
        bundle = self._live.bundle
        if self._places_of is not bundle or now_ns - self._counted_ns >= RECOUNT_NS:
            self._places = self._unwritten.counts(bundle.encoders, store.background_counts(bundle.encoders))
            self._places_of, self._counted_ns = bundle, now_ns
        return self._places

    def _goal(self, store: TeachingStore, labels: list[LabelFacts], background: dict[str, int]) -> Goal:
        """Return what should run. A fit also uses the background of streams that are not there any more."""
        bundle, known = self._live.bundle, known_places(background)
        return goal_of(
            stored=[label.name for label in labels],
            fittable=[
                label.name for label in labels if can_be_fitted(label, known) and bundle.why_fixed(label.name) is None
            ],
            active=bundle.taught,
            removed=store.forgotten(bundle.taught),
            is_built_in=bundle.directory == Path(self._config.bundle),
        )

    def _wanted(self, store: TeachingStore, places: dict[str, int], goal: Goal) -> Wanted:
        bundle = self._live.bundle
        basis = FitBasis(
            base=bundle.base,
            changes=store.changes(),
            places=doublings(places),
            false_alarms_a_day=self._config.teaching.false_alarms_a_day,
            events=event_times(self._config),
        )
        return Wanted(basis, bundle.id, bundle.directory, bundle.number, goal)

    def _new_facts(
        self, store: TeachingStore, labels: list[LabelFacts], places: dict[str, int], goal: Goal
    ) -> TeachingFacts:
        bundle = self._live.bundle
        return TeachingFacts(
            node=self._config.node,
            bundle=bundle.id,
            next_label=store.next_label(),
            places=places,
            text_alone=self._live.text_alone,
            labels=[*labels, *(lost_label(name, bundle.taught_labels[name]) for name in sorted(goal.lost))],
            active=bundle.taught,
            fixed={label.name: reason for label in labels if (reason := bundle.why_fixed(label.name)) is not None},
            report=self._fits.record.report,
            phase=self._fits.phase,
            problem=self._fits.problem,
            held=goal.reason,
            lost=store.problem,
            question=latest_question(store, {label.name for label in labels}),
        )

    def _note(self, error: TeachingError) -> None:
        self.facts = replace(self.facts, problem=str(error))

    def _done(self, request: Request, done: Done) -> None:
        reason, result = done
        log.info("command %s: done%s", request.name, f": {reason}" if reason else "")
        self._answers.publish_answer(request, answer_to(request.name, ok=True, reason=reason, result=result))

    def _refuse(self, request: Request, error: Exception) -> None:
        log.warning("command %s: refused: %s", request.name, error)
        self._answers.publish_answer(request, answer_to(request.name, ok=False, reason=str(error)))


def label_facts(store: TeachingStore) -> list[LabelFacts]:
    """Return the taught labels, in the order of their first examples."""
    examples, everywhere, wrong = store.examples(), store.everywhere(), store.wrong_counts()
    presses = Counter(each.label for each in examples)
    return [
        LabelFacts(
            name=label,
            streams=frozenset(each.stream for each in examples if each.label == label),
            everywhere=label in everywhere,
            presses=count,
            wrong=wrong.get(label, 0),
        )
        for label, count in presses.items()
    ]
