import gc
import os

# as in the daemon, before numpy is imported: threads that spin take the processor from the tests beside
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.helpers.alone import Machine
from tests.helpers.campaign import IS_CAMPAIGN, SEED, SEED_VARIABLE, share
from tests.helpers.delegate import cached_delegate
from tests.helpers.mosquitto import Mosquitto

# no deadline, because a busy machine is not a failure
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("campaign", deadline=None, max_examples=500)
# in CI only the seed decides, not the stored examples of earlier runs
settings.register_profile("ci", settings.get_profile("campaign" if IS_CAMPAIGN else "default"), database=None)
settings.load_profile("ci" if "CI" in os.environ else "campaign" if IS_CAMPAIGN else "default")


MACHINE = pytest.StashKey[Machine]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="append", metavar="NAME", help="run only the tests of this campaign")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Pass the seed to hypothesis too, unless its own option is given."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = SEED
    if hasattr(config, "workerinput"):
        # pytest-xdist gives the workers of one run directories beside each other
        config.stash[MACHINE] = Machine(Path(config.option.basetemp).parent)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without garbage collection, and leave all objects of that time out of later ones: both takes seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionstart(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        reporter.write_line(f"seed {SEED}; the same parts and examples again: {SEED_VARIABLE}={SEED}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as `measured`, in whatever process they ran."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name == "measured":
                        terminalreporter.write_line(str(text))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.campaign("properties"))
    if selected := config.getoption("campaign"):
        deselected = [item for item in items if not _campaigns(item) & set(selected)]
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if _campaigns(item) & set(selected)]
    left_out = _left_out(items)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in filter(_is_alone, items):
        item.add_marker(pytest.mark.xdist_group("alone"))
    items.sort(key=_rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail if pytest-xdist ignores the groups, as it does under a version of pytest that it does not know."""
    if session.config.getoption("loadgroup", False):
        grouped = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in nodeid for nodeid in grouped), "pytest-xdist ignores xdist_group"


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Make other processes wait while a test that is marked `alone` runs. Such tests follow each other at once."""
    machine = item.config.stash.get(MACHINE, None)
    if machine and not (machine.is_exclusive and _is_alone(item)):
        machine.acquire(exclusive=_is_alone(item))
    yield
    if machine and not (machine.is_exclusive and nextitem is not None and _is_alone(nextitem)):
        machine.release()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _campaigns(item: pytest.Item) -> set[str]:
    return {str(mark.args[0]) for mark in item.iter_markers("campaign")}


def _left_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return what the seed leaves out of files of which only a part runs: `campaign(name, part=…)`."""
    parts: dict[tuple[Path, int], list[pytest.Item]] = {}
    for item in items:
        for mark in item.iter_markers("campaign"):
            if "part" in mark.kwargs:
                parts.setdefault((item.path, mark.kwargs["part"]), []).append(item)
    left_out = []
    for (path, part), of_file in parts.items():
        chosen = {item.nodeid for item in share(of_file, part, path.name)}
        left_out += [item for item in of_file if item.nodeid not in chosen]
    return left_out


def _rank(item: pytest.Item) -> int:
    """Return when an item runs: long ones first, so that no process runs one at the end.

    Those that run alone come last, one after the other: each time the others wait for one, processors are idle.
    """
    is_long = _campaigns(item) - {"properties"}
    return 4 if _is_alone(item) else 1 if item.get_closest_marker("xdist_group") else 2 if is_long else 3


@pytest.fixture(autouse=True, scope="session")
def _temporary_state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the state of daemons whose config names no state directory in a temporary one."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state-home"))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running


@pytest.fixture(scope="session")
def delegate() -> Iterator[Path]:
    """The library of a delegate that has faults on request; its options are in tests/delegate/fault.h."""
    with cached_delegate() as library:
        yield library
