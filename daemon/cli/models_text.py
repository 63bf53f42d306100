"""Texts for people about the bundles of a node."""

from daemon.core.text import MAX_SHOWN, clean
from daemon.mqtt.payloads import parse_time
from daemon.mqtt.update_payloads import MAX_REASON, BundlePart, CandidatePart, ModelsPayload, ResultPart

NO_SOURCE = "none: models.source in config.yaml is not set"
ALWAYS_ITS_OWN = "so the config's own bundle always runs"


def stage_text(candidate: CandidatePart) -> str:
    """Return the stage of a bundle, as in `digits@0.5.0: download`."""
    return f"{clean(candidate.id)}: {candidate.stage}"


def candidate_text(candidate: CandidatePart) -> str:
    """Return what a node does with a bundle that came after the active one. On probation it runs already."""
    if candidate.stage == "probation":
        return f"runs {clean(candidate.id)} on probation"
    return f"installs {stage_text(candidate)}"


def waiting_text(candidate: CandidatePart) -> str:
    """Return why the labels that were taught cannot be fitted onto a bundle yet."""
    return f"{clean(candidate.id)} waits: {clean(candidate.waits or '', MAX_REASON)}"


def progress_text(candidate: CandidatePart) -> str:
    """Return the progress of a bundle, as in `digits@0.5.0: download 42 %`."""
    if candidate.stage != "download" or candidate.bytes_total == 0:
        return stage_text(candidate)
    return f"{stage_text(candidate)} {min(100, candidate.bytes_done * 100 // candidate.bytes_total)} %"


def result_text(result: ResultPart, longest: int = MAX_SHOWN) -> str:
    """Return whether a bundle was installed, or in which stage it was given up and why.

    The reason is cut at `longest` characters.
    """
    why = f": {clean(result.reason, longest)}" if result.reason else ""
    if result.ok:
        return f"has installed {clean(result.bundle)}{why}"
    return f"has given up {clean(result.bundle)} in {result.stage}{why}"


def active_text(payload: ModelsPayload) -> str:
    """Return which bundle is active, and the latest version if it is newer."""
    newer = "" if payload.latest == payload.active.version else f"; the latest is {clean(payload.latest)}"
    return f"runs {clean(payload.active.id)}{newer}"


def listing(payload: ModelsPayload) -> list[str]:
    """Return all fields of the payload as lines."""
    rows = [("active", _bundle(payload.active))]
    if payload.previous is not None:
        rows.append(("previous", _bundle(payload.previous)))
    if payload.candidate is not None:
        since = f"since {when(payload.candidate.since)}"
        if payload.candidate.stage == "probation":
            rows.append(("probation", since))
        elif payload.candidate.waits is not None:
            rows.append(("waiting", f"{waiting_text(payload.candidate)}, {since}"))
        else:
            rows.append(("installing", f"{progress_text(payload.candidate)}, {since}"))
    rows.append(("latest", f"{clean(payload.active.name)}@{clean(payload.latest)}"))
    rows += [("available", clean(each)) for each in payload.available]
    rows += [("refused", _refusal(each)) for each in payload.refused]
    if (result := payload.last_result) is not None:
        rows.append(("last result", f"{result_text(result, MAX_REASON)}, {when(result.time)}"))
    rows.append(("pinned", "yes: another is installed only when somebody asks" if payload.pinned else "no"))
    rows.append(("last check", _check(payload)))
    rows.append(("source", _source(payload)))
    return aligned(rows)


def check_text(payload: ModelsPayload) -> str:
    """Return the result of the latest check of the source."""
    check = payload.last_check
    if check is None:
        return "none yet"
    why = f": {clean(check.reason, MAX_REASON)}" if check.reason else ""
    return f"good{why}" if check.ok else f"failed{why}"


def _check(payload: ModelsPayload) -> str:
    check = payload.last_check
    return check_text(payload) + ("" if check is None else f", {when(check.time)}")


def _bundle(bundle: BundlePart) -> str:
    origin = " (the config's own)" if bundle.shipped else " (with what was taught here)" if bundle.taught else ""
    return clean(bundle.id) + origin


def _source(payload: ModelsPayload) -> str:
    if payload.source:
        return clean(payload.source, MAX_REASON)
    return f"{NO_SOURCE}, {ALWAYS_ITS_OWN}" if payload.active.shipped else NO_SOURCE


def _refusal(result: ResultPart) -> str:
    why = f": {clean(result.reason, MAX_REASON)}" if result.reason else ""
    return f"{clean(result.bundle)} in {result.stage}{why}, {when(result.time)}"


def when(time: str) -> str:
    """Return the time of a payload in local time."""
    return parse_time(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def aligned(rows: list[tuple[str, str]]) -> list[str]:
    """Return the rows as lines; a title that repeats stands before its first row only."""
    width = max(len(title) for title, _ in rows) + 2
    titles = [title for title, _ in rows]
    shown = ["" if index and title == titles[index - 1] else title for index, title in enumerate(titles)]
    return [f"{title:<{width}}{text}" for title, (_, text) in zip(shown, rows, strict=True)]
