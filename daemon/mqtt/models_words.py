"""What a node says of its bundles, in words. Pure; whatever comes from the broker is made fit for a terminal."""

from daemon.mqtt.clean import MAX_SHOWN, clean
from daemon.mqtt.models_payload import MAX_REASON, BundlePart, CandidatePart, ModelsPayload, ResultPart
from daemon.mqtt.payloads import parse_time

NO_SOURCE = "none: models.source in config.yaml is not set, and the config's own bundle runs, always"


def stage_words(candidate: CandidatePart) -> str:
    """Where it is: `digits@0.5.0: download`."""
    return f"{clean(candidate.id)}: {candidate.stage}"


def progress_words(candidate: CandidatePart) -> str:
    """How far it is: `digits@0.5.0: download 42 %`."""
    if candidate.stage != "download" or candidate.bytes_total == 0:
        return stage_words(candidate)
    return f"{stage_words(candidate)} {min(100, candidate.bytes_done * 100 // candidate.bytes_total)} %"


def result_words(result: ResultPart, longest: int = MAX_SHOWN) -> str:
    """What became of it: that it was installed, or where it was given up, and why, in at most so many characters."""
    why = f": {clean(result.reason, longest)}" if result.reason else ""
    if result.ok:
        return f"has installed {clean(result.bundle)}{why}"
    return f"has given up {clean(result.bundle)} in {result.stage}{why}"


def active_words(payload: ModelsPayload) -> str:
    """Which bundle runs, and whether there is a newer one."""
    newer = "" if payload.latest == payload.active.version else f"; the latest is {clean(payload.latest)}"
    return f"runs {clean(payload.active.id)}{newer}"


def listing(payload: ModelsPayload) -> list[str]:
    """All of it, a line each."""
    rows = [("active", _bundle(payload.active))]
    if payload.previous is not None:
        rows.append(("previous", _bundle(payload.previous)))
    if payload.candidate is not None:
        since = f"since {_when(payload.candidate.since)}"
        if payload.candidate.stage == "probation":
            rows.append(("probation", since))
        else:
            rows.append(("installing", f"{progress_words(payload.candidate)}, {since}"))
    rows.append(("latest", f"{clean(payload.active.name)}@{clean(payload.latest)}"))
    rows += [("available", clean(each)) for each in payload.available]
    rows += [("refused", _refusal(each)) for each in payload.refused]
    if (result := payload.last_result) is not None:
        rows.append(("last result", f"{result_words(result, MAX_REASON)}, {_when(result.time)}"))
    rows.append(("pinned", "yes: another is installed only when somebody asks" if payload.pinned else "no"))
    rows.append(("last check", _check(payload)))
    rows.append(("source", clean(payload.source, MAX_REASON) if payload.source else NO_SOURCE))
    return _aligned(rows)


def check_words(payload: ModelsPayload) -> str:
    """What the latest look at the source found."""
    check = payload.last_check
    if check is None:
        return "none yet"
    why = f": {clean(check.reason, MAX_REASON)}" if check.reason else ""
    return f"good{why}" if check.ok else f"failed{why}"


def _check(payload: ModelsPayload) -> str:
    check = payload.last_check
    return check_words(payload) + ("" if check is None else f", {_when(check.time)}")


def _bundle(bundle: BundlePart) -> str:
    return clean(bundle.id) + (" (the config's own)" if bundle.shipped else "")


def _refusal(result: ResultPart) -> str:
    why = f": {clean(result.reason, MAX_REASON)}" if result.reason else ""
    return f"{clean(result.bundle)} in {result.stage}{why}, {_when(result.time)}"


def _when(time: str) -> str:
    return parse_time(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    """Each title once, before the first of its rows."""
    width = max(len(title) for title, _ in rows) + 2
    titles = [title for title, _ in rows]
    shown = ["" if index and title == titles[index - 1] else title for index, title in enumerate(titles)]
    return [f"{title:<{width}}{words}" for title, (_, words) in zip(shown, rows, strict=True)]
