"""Obeys the commands to teach that need no picture and no sound: lists, removes, corrects, undoes and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.core.timing import clock_text, wall_time_of
from daemon.mqtt.commands import (
    Arguments,
    InvalidCommand,
    TeachForgetArguments,
    TeachLabelArguments,
    TeachRemoveArguments,
    TeachReportArguments,
    TeachWrongArguments,
)
from daemon.node.fits import Fits
from daemon.node.taught_goal import Goal
from daemon.node.teaching_input import TaughtOnto, TeachingInput
from daemon.node.teaching_state import NOTHING_TAUGHT
from daemon.teaching.records import ExampleInfo, Peak
from daemon.teaching.store import TeachingStore

# Examples of an answer, which has 150 bytes for each. Some brokers take no message above 128 kB.
MAX_LISTED = 500

# a remark about what was done, and the result of the answer
Done = tuple[str | None, dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class TeachingCommands:
    """Obeys commands on the store. Used by the thread `teaching`, which waits for the disk."""

    store: TeachingStore
    live: TeachingInput
    fits: Fits
    labels: frozenset[str]
    goal: Goal

    def obey(self, name: str, arguments: Arguments) -> Done:
        """Obey a command; what it changes is on disk when this returns. Raises InvalidCommand and TeachingError."""
        if isinstance(arguments, TeachLabelArguments):
            check_label(arguments.label, self.live.bundle)
            self.store.set_next_label(arguments.label)
            return None, {"label": arguments.label}
        if isinstance(arguments, TeachWrongArguments):
            return self._wrong(arguments)
        if isinstance(arguments, TeachRemoveArguments):
            self.store.remove_example(arguments.example)
            return None, {"example": arguments.example}
        if isinstance(arguments, TeachForgetArguments):
            label = arguments.label
            is_lost = label in self.goal.lost
            self.store.forget_label(label if is_lost else self._taught(label), is_lost=is_lost)
            return None, {"label": arguments.label}
        if isinstance(arguments, TeachReportArguments):
            return None, self._report(arguments.label)
        if name == "teach_undo":
            return self._undo()
        if name == "teach_fit":
            if self.goal.reason is not None or not self.labels:
                raise InvalidCommand(self.goal.reason or NOTHING_TAUGHT)
            self.fits.force()
            return "it has begun; the topic teaching shows the rest", None
        return None, self._list()

    def _list(self) -> dict[str, Any]:
        examples = self.store.examples()
        shown = examples[-MAX_LISTED:]
        return {"examples": [_listed(each) for each in shown], "left_out": len(examples) - len(shown)}

    def _undo(self) -> Done:
        before = {example.id for example in self.store.examples()}
        undone = self.store.undo()
        if undone is None:
            raise InvalidCommand("there is nothing to undo")
        erased = len(before - {example.id for example in self.store.examples()})
        if erased:
            presses = "its press is" if erased == 1 else f"its {erased} presses are"
            undone = f"{undone}; {presses} erased: teach again what was good"
        return f"undone: {undone}", {"undone": undone}

    def _wrong(self, arguments: TeachWrongArguments) -> Done:
        peak = self._event(arguments)
        if peak.label in self.live.bundle.fixed_labels:
            raise InvalidCommand(f"{peak.label} is a label of {self.live.bundle.name}: it cannot be unlearnt")
        if peak.label in self.goal.lost:
            raise InvalidCommand(f"{peak.label} has lost its examples: teach it again first")
        if peak.label not in self.labels:
            raise InvalidCommand(f"{peak.label} was forgotten: nothing is left to correct")
        where = moment_text(peak)
        if self.store.is_wrong(peak.wrong, peak.event):
            later = "" if arguments.event is not None else "; there is no later event"
            raise InvalidCommand(f"{where} was called wrong already{later}")
        self.store.add_wrong(peak.wrong, peak.event)
        result = {"label": peak.label, "stream": peak.stream, "event": peak.event, "time": wall_time_of(peak.taken_s)}
        return f"{where} was wrong", result

    def _event(self, arguments: TeachWrongArguments) -> Peak:
        if arguments.event is not None:
            return peak_of_event(self.store, self.live, arguments.event)
        stream = arguments.stream
        labels = self.labels - self.live.bundle.fixed_labels
        of_labels = [peak for peak in self.live.open_peaks() if peak.label in labels]
        open_peaks = [peak for peak in of_labels if stream in (None, peak.stream)]
        latest = open_peaks[-1] if open_peaks else self.store.latest_peak(labels, stream)
        if latest is None:
            where = "" if stream is None else f" in stream {stream}"
            raise InvalidCommand(f"no event of a taught label is known{where}; name the event by its id")
        return latest

    def _report(self, label: str | None) -> dict[str, Any]:
        report = self.fits.record.report
        if report is None:
            raise InvalidCommand("nothing has been fitted yet; perceptd teach list says what the labels wait for")
        if label is not None:
            labels = [one for one in report.labels if one.label == self._taught(label)]
            if not labels:
                raise InvalidCommand(f"{label} has not been fitted yet")
            report = report.model_copy(update={"labels": labels, "notes": []})
        return {"report": report.model_dump(mode="json"), "text": report.text()}

    def _taught(self, label: str) -> str:
        if label not in self.labels:
            if label in self.live.bundle.fixed_labels:
                raise InvalidCommand(f"{label} is a label of {self.live.bundle.name}: it was not taught here")
            raise InvalidCommand(unknown_label(label, self.labels))
        return label


def peak_of_event(store: TeachingStore, live: TeachingInput, event: str) -> Peak:
    """Return the highest moment of an event, of one that is open too. Raises InvalidCommand where none is known."""
    open_peak = next((peak for peak in live.open_peaks() if peak.event == event), None)
    peak = open_peak or store.peak(event)
    if peak is None:
        raise InvalidCommand(f"no event {event!r} is known; events are kept for 7 days")
    return peak


def moment_text(moment: Peak) -> str:
    """Return which moment it is, as in `kettle boils in kitchen at 08:54:59`."""
    return f"{moment.label} in {moment.stream} at {clock_text(moment.taken_s)}"


def unknown_label(label: str, labels: frozenset[str]) -> str:
    """Return that a label was not taught, and which labels were."""
    return f"no taught label {label!r}; " + (f"there are {', '.join(sorted(labels))}" if labels else NOTHING_TAUGHT)


def check_label(label: str, bundle: TaughtOnto) -> None:
    """Raise InvalidCommand when a label cannot be taught, because the bundle has it already."""
    if (reason := bundle.why_fixed(label)) is not None:
        raise InvalidCommand(f"{reason}; teach it under another name")


def _listed(example: ExampleInfo) -> Mapping[str, Any]:
    return {
        "id": example.id,
        "label": example.label,
        "stream": example.stream,
        "time": wall_time_of(example.taken_s),
        "origin": example.origin,
        "picture": example.has_picture,
        "sound": example.has_sound,
    }
