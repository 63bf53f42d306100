"""Measures what the page costs the daemon: while nobody looks, and while somebody looks at two streams of 640x480.

Each turn measures the daemon without a visitor, with one, and without again. In the same turn runs the daemon with a
history, and with --before the daemon of an older checkout. `git worktree add DIR VERSION` makes one.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from demo import broker

from benchmarks.bundles import DIGITS
from benchmarks.cameras import cameras
from benchmarks.config import write_config
from benchmarks.measured import FIRST_DEADLINE_S, WARM_UP_S, Measured, Subscriber, measure_running, percentile
from benchmarks.process import daemon_command, footprint, running
from benchmarks.visitor import Page, looking

FPS = 10
STREAMS = ("yard", "hall")

TARGET_CORE, TARGET_P99_MS, TARGET_PAGE_MB = 0.06, 2.0, 45.0
# The page shows at most five pictures a second. With fewer than this the cost says little.
LEAST_PICTURES_S = 4.0
# what must not grow by more than runs of one version differ
NOISY = {"core": "processor time", "pss_mb": "memory"}


@dataclass(frozen=True, slots=True)
class Phase:
    """What the daemon used in one phase: the part of a core, its memory, and the p99 of its recognitions."""

    core: float
    pss_mb: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Look:
    """A phase with a visitor between two without. Pictures and messages are those of a stream in a second."""

    before: Phase
    looked: Phase
    after: Phase
    pictures_s: float
    messages_s: float
    page_pss_mb: float

    @property
    def more_core(self) -> float:
        """Return what looking costs of a core."""
        return self.looked.core - (self.before.core + self.after.core) / 2

    @property
    def more_p99_ms(self) -> float:
        """Return how much later a recognition is, at the p99."""
        return self.looked.p99_ms - (self.before.p99_ms + self.after.p99_ms) / 2


@dataclass(slots=True)
class Runs:
    """The runs of all turns. `older` is empty without --before."""

    looks: list[Look] = field(default_factory=list)
    kept: list[Phase] = field(default_factory=list)
    older: list[Phase] = field(default_factory=list)


def main() -> int:
    """Print the table; the exit code is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench page", description=__doc__)
    parser.add_argument("--before", type=Path, metavar="DIR", help="checkout of the version without a page")
    parser.add_argument("--turns", type=int, default=5, help="how often each is run (default: 5)")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each phase is measured (default: 15)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    options = parser.parse_args()
    lasts_s = FIRST_DEADLINE_S + WARM_UP_S + 4 * options.seconds + 60
    runs = Runs()
    with (
        tempfile.TemporaryDirectory(prefix="perceptd-bench-") as name,
        broker(Path(name)) as port,
        cameras(Path(name), len(STREAMS), FPS, lasts_s) as server,
    ):
        bench = Bench(Path(name), port, server.urls, options.seconds)
        for turn in range(options.turns):
            _turn(bench, runs, options.before, is_reversed=turn % 2 == 1)
            print(f"turn {turn + 1} of {options.turns} done", file=sys.stderr, flush=True)
    result = result_of(runs)
    print(json.dumps(result) if options.json else _table(result))
    return 1 if result["missed"] else 0


def _turn(bench: "Bench", runs: Runs, older: Path | None, *, is_reversed: bool) -> None:
    steps = ["older", "look", "kept"] if older is not None else ["look", "kept"]
    for step in reversed(steps) if is_reversed else steps:
        if step == "older":
            runs.older.append(bench.alone("older", older))
        elif step == "kept":
            runs.kept.append(bench.alone("kept"))
        else:
            runs.looks.append(bench.look())


class Bench:
    """Runs the daemon on two cameras."""

    def __init__(self, directory: Path, port: int, urls: Sequence[str], seconds: float) -> None:
        self._directory, self._port, self._urls, self._seconds = directory, port, urls, seconds

    def alone(self, name: str, checkout: Path | None = None) -> Phase:
        """Run the daemon of this or another checkout without a visitor: with a history if the name is `kept`."""
        command = daemon_command(self._config(name, {"history": {}} if name == "kept" else {}))
        with closing(self._subscriber(name)) as subscriber, running(command, checkout) as process:
            subscriber.wait_for(len(STREAMS), process)
            time.sleep(WARM_UP_S)
            return phase_of(measure_running(process, subscriber, self._seconds))

    def look(self) -> Look:
        """Run the daemon, with a visitor in the middle."""
        config = self._config("look", {})
        with closing(self._subscriber("look")) as subscriber, running(daemon_command(config)) as process:
            subscriber.wait_for(len(STREAMS), process)
            time.sleep(WARM_UP_S)
            before = measure_running(process, subscriber, self._seconds)
            with Page(config) as page, looking(page, STREAMS) as seen:
                time.sleep(WARM_UP_S)
                messages, pictures = seen.messages, sum(seen.pictures.values())
                looked = measure_running(process, subscriber, self._seconds)
                messages, pictures = seen.messages - messages, sum(seen.pictures.values()) - pictures
                memory = footprint(page.pid)
            time.sleep(WARM_UP_S)
            after = measure_running(process, subscriber, self._seconds)
        if memory is None:
            raise SystemExit("the page ended while it was measured")
        streams_s = len(STREAMS) * looked.seconds
        phases = map(phase_of, (before, looked, after))
        return Look(*phases, pictures / streams_s, messages / streams_s, memory.pss_mb)

    def _subscriber(self, name: str) -> Subscriber:
        return Subscriber(self._port, f"perceptd/bench-{name}/+/recognition")

    def _config(self, name: str, more: dict[str, object]) -> Path:
        config = self._directory / f"{name}.yaml"
        streams = {
            stream: {"camera": {"device": url}, "microphone": "camera"}
            for stream, url in zip(STREAMS, self._urls, strict=True)
        }
        write_config(config, f"bench-{name}", DIGITS, self._port, streams)
        if more:
            config.write_text(config.read_text() + yaml.safe_dump(more))
        return config


def phase_of(measured: Measured) -> Phase:
    """What one phase has shown."""
    core = measured.cpu_ms / 1000 / measured.seconds
    return Phase(core, measured.peak_pss_mb, percentile(measured.latencies_ms, 0.99))


def result_of(runs: Runs) -> dict:
    """The medians of each side, what a page and a history cost more, and the targets that are missed."""
    looks = runs.looks
    sides = {
        "older": runs.older,
        "nobody": [look.before for look in looks],
        "looked": [look.looked for look in looks],
        "kept": runs.kept,
    }
    result: dict = {name: _medians(phases) for name, phases in sides.items() if phases}
    result |= {
        "more": {
            "core": statistics.median(look.more_core for look in looks),
            "p99_ms": statistics.median(look.more_p99_ms for look in looks),
        },
        "cores": [look.more_core for look in looks],
        "pictures_s": min(look.pictures_s for look in looks),
        "messages_s": min(look.messages_s for look in looks),
        "page_pss_mb": max(look.page_pss_mb for look in looks),
    }
    if runs.older:
        result["noise"] = {name: max(_spread(sides[side], name) for side in ("older", "nobody")) for name in NOISY}
    return result | {"missed": _missed(result)}


def _medians(phases: Sequence[Phase]) -> dict:
    return {name: statistics.median(getattr(phase, name) for phase in phases) for name in ("core", "pss_mb", "p99_ms")}


def _spread(phases: Sequence[Phase], name: str) -> float:
    values = [getattr(phase, name) for phase in phases]
    return max(values) - min(values)


def _missed(result: dict) -> list[str]:
    more = result["more"]
    missed = {
        f"a visitor costs more than {TARGET_CORE} of a core": more["core"] > TARGET_CORE,
        f"a visitor makes recognitions more than {TARGET_P99_MS:.0f} ms later": more["p99_ms"] > TARGET_P99_MS,
        f"the page takes {TARGET_PAGE_MB:.0f} MB or more": result["page_pss_mb"] >= TARGET_PAGE_MB,
        f"the visitor gets less than {LEAST_PICTURES_S:.0f} pictures a second": result["pictures_s"] < LEAST_PICTURES_S,
    }
    if "older" in result:
        for name, words in NOISY.items():
            grown = result["nobody"][name] - result["older"][name]
            missed[f"while nobody looks, the daemon takes more {words} than before"] = grown > result["noise"][name]
    return [words for words, is_missed in missed.items() if is_missed]


def _table(result: dict) -> str:
    titles = {"older": "before", "nobody": "nobody looks", "looked": "looked at", "kept": "history"}
    sides = [name for name in titles if name in result]
    rows = {"CPU, of a core": ("core", "{:14.2%}"), "memory (PSS), MB": ("pss_mb", "{:14.1f}")}
    rows["capture to subscriber, p99, ms"] = ("p99_ms", "{:14.1f}")
    each, more = ", ".join(f"{core:.2%}" for core in result["cores"]), result["more"]
    pictures_s, messages_s = result["pictures_s"], result["messages_s"]
    lines = [f"{f'two cameras, 640x480 at {FPS} a second':<36}{''.join(f'{titles[name]:>14}' for name in sides)}"]
    for title, (name, form) in rows.items():
        lines.append(f"{title:<36}{''.join(form.format(result[side][name]) for side in sides)}")
    if "noise" in result:
        noise = result["noise"]
        lines.append(f"runs of one version differ by up to {noise['core']:.2%} of a core and {noise['pss_mb']:.1f} MB")
    lines += [
        f"a visitor costs {more['core']:.2%} of a core (turns: {each}), p99 {more['p99_ms']:+.1f} ms",
        f"the visitor gets {pictures_s:.1f} pictures and {messages_s:.1f} messages a second of each stream",
        f"process of the page: {result['page_pss_mb']:.1f} MB (PSS)",
        f"targets: {'; '.join(result['missed']) or 'met'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
