import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.helpers.alone import Machine
from tests.helpers.campaign import IS_CAMPAIGN, SEED, SEED_VARIABLE
from tests.helpers.delegate import cached_delegate
from tests.helpers.mosquitto import Mosquitto

# no deadline: a busy machine is no failure
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("campaign", deadline=None, max_examples=500)
# CI judges a change by its own seed alone, not by examples that are left of an earlier run
settings.register_profile("ci", settings.get_profile("campaign" if IS_CAMPAIGN else "default"), database=None)
settings.load_profile("ci" if "CI" in os.environ else "campaign" if IS_CAMPAIGN else "default")


MACHINE = pytest.StashKey[Machine]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--campaign", action="append", metavar="NAME", help="run only the tests of this campaign")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let the seed decide the examples of hypothesis too, unless its own option does."""
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = SEED
    if hasattr(config, "workerinput"):
        config.stash[MACHINE] = Machine(Path(config.option.basetemp).parent)  # which pytest-xdist gives all workers


def pytest_sessionstart(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and not hasattr(session.config, "workerinput"):
        reporter.write_line(f"seed {SEED}; the same parts and examples again: {SEED_VARIABLE}={SEED}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.campaign("properties"))
    if wanted := config.getoption("campaign"):
        left = [item for item in items if not _campaigns(item) & set(wanted)]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if _campaigns(item) & set(wanted)]
    # the long ones first, so that no worker is left with one at the end; and files with tests that run alone stay whole
    alone = {item.path for item in items if _is_alone(item)}
    items.sort(key=lambda item: 0 if item.path in alone else _rank(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where pytest-xdist ignores the groups, as it does under a pytest that it does not know."""
    if session.config.getoption("loadgroup", False):
        grouped = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in nodeid for nodeid in grouped), "pytest-xdist ignores xdist_group"


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """While a test that measures time runs, the other processes wait; such tests follow each other without a break."""
    machine = item.config.stash.get(MACHINE, None)
    if machine and not (machine.is_ours_alone and _is_alone(item)):
        machine.take(_is_alone(item))
    yield
    if machine and not (machine.is_ours_alone and nextitem is not None and _is_alone(nextitem)):
        machine.leave()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _campaigns(item: pytest.Item) -> set[str]:
    return {str(mark.args[0]) for mark in item.iter_markers("campaign")}


def _rank(item: pytest.Item) -> int:
    is_long = _campaigns(item) - {"properties"}
    return 1 if item.get_closest_marker("xdist_group") else 2 if is_long else 3


@pytest.fixture(autouse=True, scope="session")
def _state_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a daemon of the tests keeps where its config does not say so."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state-home"))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running


@pytest.fixture(scope="session")
def delegate() -> Iterator[Path]:
    """The library of an accelerator that can be told to have faults; its options are in tests/delegate/fault.h."""
    with cached_delegate() as library:
        yield library
