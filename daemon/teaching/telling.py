"""The report of a fit in plain words, from what held-out presses and background tell. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from daemon.core.records import Modality
from daemon.core.text import hours_text
from daemon.teaching.claims import Claims
from daemon.teaching.decisions import Decision
from daemon.teaching.judging import Judged
from daemon.teaching.material import Material
from daemon.teaching.report import SHOWN_ID, Confusion, LabelReport, Rate, Report
from daemon.teaching.rows import TrainingSet

VERB: dict[Modality, str] = {"image": "seen", "audio": "heard", "text": "read"}
NOUN: dict[Modality, str] = {"image": "picture", "audio": "sound", "text": "text"}

# A sense carries a label when it has this part of what speaks for it.
CARRYING_PART = 0.8
FEW_PRESSES = 5
# Numbers below are told as "under 0.01".
SMALLEST_TOLD = 0.01
ONCE_A_YEAR = 1 / 365


def report_of(
    training: TrainingSet,
    material: Material,
    decisions: Sequence[Decision],
    judged: Sequence[Judged],
    harmful: Collection[int],
    left_out: Sequence[str],
    claims: Claims,
) -> Report:
    """Return the report of the labels of a fit. `claims` has what the base calls the presses by itself."""
    labels = []
    for index, decision in enumerate(decisions):
        own = [each for each in judged if each.label == index]
        label = _label_report(training, material, index, decision, own, harmful)
        known = [*_claimed(own, claims.taken), *_alike(claims.alike.get(index, {}), len(own))]
        labels.append(label.model_copy(update={"warnings": [*known, *label.warnings]}))
    notes = list(left_out)
    if weak := sorted(training.scores_only & set(training.sizes)):
        give = "gives" if len(weak) == 1 else "give"
        notes.append(
            f"{', '.join(weak)} {give} scores and no embedding. What is taught on scores alone is recognised less well."
        )
    return Report(labels=labels, notes=notes)


def _label_report(
    training: TrainingSet,
    material: Material,
    index: int,
    decision: Decision,
    judged: Sequence[Judged],
    harmful: Collection[int],
) -> LabelReport:
    held_out = judged if len(judged) > 1 else []
    rates = dict(decision.rates)
    total = _sum(list(rates.values()))
    found = [each for each in held_out if each.found]
    senses = _mean_parts(found)
    confused = Counter(material.labels[other].name for each in held_out for other in each.also)
    without = {
        sense: sum(each.found_without.get(sense, each.found) for each in held_out)
        for sense in material.basis.modalities
        if any(sense in each.found_without for each in held_out)
    }
    name = material.labels[index].name
    ids = [example.id for example in training.examples]
    report = LabelReport(
        label=name,
        presses=len(judged),
        found=len(found) if held_out else None,
        tried=len(held_out) if held_out else None,
        false_alarms_a_day=total,
        false_alarms=rates,
        senses=senses,
        found_without=without,
        confused_with=[Confusion(label=other, presses=count) for other, count in confused.most_common()],
        missed=[ids[each.press] for each in held_out if not each.found],
        harmful=[ids[each.press] for each in held_out if each.press in harmful],
        mislabelled=[ids[each.press] for each in held_out if each.also and each.rival > each.score],
        warnings=[],
        text="",
    )
    short = sum(each.is_short for each in held_out)
    warnings = _warnings(report, training.false_alarms_a_day, sorted(material.labels[index].streams), short)
    return report.model_copy(update={"text": _text(report), "warnings": warnings})


def _text(report: LabelReport) -> str:
    presses = f"{report.presses} press{'' if report.presses == 1 else 'es'}"
    if report.found is None or report.tried is None:
        said = f"{report.label}: {presses}. How well it is recognised is not known: one press cannot be held out"
    else:
        verbs = " and ".join(VERB[sense] for sense in report.senses) or "recognised"
        said = f"{report.label}: {presses}, {verbs} in {report.found} of {report.tried} that were held out"
    rate = report.false_alarms_a_day
    if rate is None:
        return f"{said}."
    return f"{said}. {rate_text(rate)}"


def rate_text(rate: Rate) -> str:
    """Return how often false alarms are expected, and what that is based on."""
    hours = f"from {hours_text(rate.hours)} of background."
    if rate.expected >= ONCE_A_YEAR:
        interval = f"{_number(rate.low)} to {_number(rate.high)}"
        return f"Expected false alarms a day: {_number(rate.expected)} ({interval}), {hours}"
    most = f", at most {_number(rate.high)} a day" if rate.high >= ONCE_A_YEAR else ""
    return f"Expected false alarms: less than one in a year{most}, {hours}"


def _warnings(report: LabelReport, wanted: float, streams: Sequence[str], short: int) -> list[str]:
    warnings = []
    place = " and ".join(streams)
    if report.found is not None and report.tried is not None:
        for sense, part in report.senses.items():
            others = [other for other in report.found_without if other != sense]
            without = report.found_without.get(sense)
            if part >= CARRYING_PART and without is not None and others and without <= report.found / 2:
                unheard = " or ".join(NOUN[other] for other in others)
                warnings.append(
                    f"{report.label} is recognised by the {NOUN[sense]} of {place}, not by its {unheard}: without the "
                    f"{NOUN[sense]} {without} of {report.tried} presses are found"
                )
        if short:
            warnings.append(
                f"{short} of its presses are too short for smoothing_s and min_duration_s of {place}: make them smaller"
            )
        elif report.found < report.tried / 2:
            warnings.append(f"{report.label} is missed more often than found: teach more presses, or other ones")
    if 1 < report.presses < FEW_PRESSES:
        warnings.append(f"{report.label} has {report.presses} presses: with {FEW_PRESSES} the figures are surer")
    for confusion in report.confused_with:
        warnings.append(f"{confusion.presses} of its presses also start {confusion.label}")
    warnings += [f"press {each[:SHOWN_ID]} may have the wrong label" for each in report.mislabelled]
    warnings += [f"without press {each[:SHOWN_ID]} the others are recognised better" for each in report.harmful]
    if report.false_alarms_a_day is not None and report.false_alarms_a_day.expected > 1.5 * wanted:
        warnings.append(
            f"{report.label} may start wrongly more often than the {_number(wanted)} a day that is asked for"
        )
    return warnings


def _claimed(judged: Sequence[Judged], claims: Mapping[int, str]) -> list[str]:
    """Return a warning for each label of the base that keeps presses from being found."""
    is_known = len(judged) > 1
    missed = [each.press for each in judged if not (each.found and is_known)]
    return [
        f"the bundle already calls this {label} in {count} of {len(judged)} presses: what it knows stays as it is"
        for label, count in Counter(claims[press] for press in missed if press in claims).most_common()
    ]


def _alike(counts: Mapping[str, int], presses: int) -> list[str]:
    """Return a warning for each label of the base that is recognised beside a taught one."""
    return [
        f"the bundle's own {label} is also recognised in {count} of {presses} presses: use it where it means the same"
        for label, count in sorted(counts.items())
    ]


def _mean_parts(judged: Sequence[Judged]) -> dict[Modality, float]:
    senses: list[Modality] = list(dict.fromkeys(sense for each in judged for sense in each.senses))
    return {sense: round(float(np.mean([each.senses.get(sense, 0.0) for each in judged])), 3) for sense in senses}


def _sum(rates: Sequence[Rate]) -> Rate | None:
    if not rates:
        return None
    return Rate(
        expected=sum(each.expected for each in rates),
        low=sum(each.low for each in rates),
        high=sum(each.high for each in rates),
        hours=sum(each.hours for each in rates),
    )


def _number(value: float) -> str:
    if value < SMALLEST_TOLD:
        return f"under {SMALLEST_TOLD}"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
