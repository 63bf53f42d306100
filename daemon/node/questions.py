"""Questions of the device about moments that would teach it most, and the answers of a person."""

import time
import uuid
from collections.abc import Collection

from daemon.core.timing import clock_text, wall_time_of
from daemon.mqtt.commands import InvalidCommand, TeachAnswerArguments
from daemon.mqtt.teaching_payloads import QuestionPart
from daemon.node.teaching_commands import Done, check_label, moment_text, peak_of_event
from daemon.node.teaching_input import TaughtOnto, TeachingInput
from daemon.teaching.records import Example, Peak, Question, StoredMoment
from daemon.teaching.review import Review, Seen, consider
from daemon.teaching.store import TeachingStore

NO_QUESTION = "no question is open"


class Reviewer:
    """Asks about moments of taught labels: at most one question in five minutes. Used by the thread `teaching`.

    The pauses go on after a restart.
    """

    def __init__(self) -> None:
        self._review: Review | None = None

    def consider(self, store: TeachingStore, peak: Peak, bundle: TaughtOnto, *, recognised: bool = True) -> None:
        """Ask about a moment, if the answer would teach. `recognised`: its label made an event.

        Raises TeachingError when the disk refuses the question.
        """
        label = bundle.taught_labels.get(peak.label)
        threshold = None if label is None else label.threshold(peak.stream)
        if threshold is None:
            return
        if self._review is None:  # what was asked before a restart counts
            self._review = store.review()
        seen = Seen(peak.label, peak.stream, peak.score, threshold.start, recognised)
        now_s = time.time()
        self._review, why = consider(self._review, seen, now_s)
        if why is not None:
            store.ask(Question(uuid.uuid4().hex, why, recognised, now_s, peak))


def question_part(question: Question) -> QuestionPart:
    """Return what the topic `teaching` says of a question."""
    moment = question.moment
    return QuestionPart(
        id=question.id,
        stream=moment.stream,
        label=moment.label,
        time=wall_time_of(moment.taken_s),
        why=question.why,
        recognised=question.recognised,
        text=_text(question),
    )


def _text(question: Question) -> str:
    """Return the question in words. Without an event, `right` and `wrong` speak of what did not happen: say so."""
    moment = question.moment
    when = f"{moment.stream}, {clock_text(moment.taken_s)}"
    if question.recognised:
        return f"{when}: was this {moment.label}?"
    return f"{when}: {moment.label} was nearly recognised. Right: it did not happen. Wrong: it did. Which is it?"


def latest_question(store: TeachingStore, labels: Collection[str]) -> QuestionPart | None:
    """Return the latest open question about one of these labels; None: there is none. Raises TeachingError."""
    questions = [question for question in store.questions() if question.moment.label in labels]
    return question_part(questions[-1]) if questions else None


def answer(store: TeachingStore, arguments: TeachAnswerArguments, bundle: TaughtOnto, labels: Collection[str]) -> Done:
    """Learn from an answer, and remove its question. Raises InvalidCommand and TeachingError.

    Of an event `right` makes the moment an example of the label, `wrong` background of it. Where none started it is
    the other way round: the node was right to recognise nothing. `was` names the label of which the moment becomes an
    example. If that is another label, the moment becomes background of the one in the question.
    """
    question = _asked(store, arguments.question, labels)
    label = question.moment.label
    it_was = arguments.answer == ("right" if question.recognised else "wrong")
    was = label if it_was else _named(arguments)
    if label not in labels:
        store.remove_question(question.id)
        raise InvalidCommand(f"{label} was forgotten meanwhile")
    if was is not None:
        check_label(was, bundle)
    if (said := _said(store, question.moment, was)) is not None:
        store.remove_question(question.id)
        raise InvalidCommand(said)
    with store.step(f"the answer about {moment_text(question.moment)}"):
        if was != label:
            store.add_wrong(question.moment.wrong, question.moment.event)
        if was is not None:
            store.add_example(_example(question.moment, was))
        store.remove_question(question.id)
    return None, {"question": question.id, "label": was}


def answer_about(
    store: TeachingStore,
    arguments: TeachAnswerArguments,
    event: str,
    live: TeachingInput,
    labels: Collection[str],
) -> Done:
    """Learn from what somebody says of an event. Raises InvalidCommand and TeachingError.

    `right` makes its peak an example of its label, `wrong` background of it. `was` names the label of which the peak
    becomes an example. A label of the bundle cannot be unlearnt, but what it was can be taught.
    """
    if arguments.question is not None:
        raise InvalidCommand("question and event: expected one of them")
    peak, bundle = peak_of_event(store, live, event), live.bundle
    label, named = peak.label, _named(arguments)
    was = label if arguments.answer == "right" else named
    is_fixed = label in bundle.fixed_labels
    if is_fixed and was in (None, label):
        raise InvalidCommand(
            f"{label} belongs to the bundle {bundle.name}, and what a bundle knows is not changed by teaching"
        )
    if label not in labels and was in (None, label):
        raise InvalidCommand(f"{label} was forgotten: nothing is left to correct")
    if was is not None:
        check_label(was, bundle)
    if (said := _said(store, peak, was)) is not None:
        raise InvalidCommand(said)
    when = moment_text(peak)
    with store.step(f"the answer about {when}"):
        if was != label and label in labels:
            store.add_wrong(peak.wrong, peak.event)
        if was is not None:
            store.add_example(_example(peak, was))
        for question in store.questions():
            if question.moment.event == event:
                store.remove_question(question.id)
    words = f"{when} was right" if was == label else f"{when} was wrong" if was is None else f"{when} was {was}"
    return words, {"event": event, "label": was}


def _said(store: TeachingStore, moment: Peak, was: str | None) -> str | None:
    """Return that the same was said of this moment already; None: it was not. An event is one example of a label."""
    if was is None:
        is_said = store.is_wrong(moment.wrong, moment.event)
    else:
        is_said = _example_id(moment, was) in {example.id for example in store.examples()}
    answer = "wrong" if was is None else "right" if was == moment.label else was
    return f"{moment_text(moment)} was called {answer} already" if is_said else None


def _named(arguments: TeachAnswerArguments) -> str | None:
    """Return the label that it was instead. Raises InvalidCommand where it is missing."""
    if arguments.answer == "was" and arguments.label is None:
        raise InvalidCommand("label: is missing; say what it was")
    return arguments.label if arguments.answer == "was" else None


def _asked(store: TeachingStore, question_id: str | None, labels: Collection[str]) -> Question:
    for question in reversed(store.questions()):
        if question_id is None and question.moment.label in labels:
            return question
        if question.id == question_id:
            return question
    raise InvalidCommand(NO_QUESTION if question_id is None else f"no question {question_id!r} is open")


def _example_id(moment: Peak, label: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{moment.event}/{label}").hex


def _example(moment: Peak, label: str) -> Example:
    return Example(
        id=_example_id(moment, label),
        label=label,
        stream=moment.stream,
        taken_s=moment.taken_s,
        origin="answer",
        encoders=moment.encoders,
        moments=[StoredMoment(0, moment.vectors)],
    )
