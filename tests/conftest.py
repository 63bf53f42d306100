import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.helpers.delegate import build_delegate
from tests.helpers.mosquitto import Mosquitto

# a busy machine is no failure; and while CI judges a change, chance must not: people's runs go on exploring
settings.register_profile("ours", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("ours")


@pytest.fixture(autouse=True, scope="session")
def _state_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a daemon of the tests keeps where its config does not say so."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state-home"))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running


@pytest.fixture(scope="session")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of an accelerator that can be told to have faults; its options are in tests/delegate/fault.h."""
    return build_delegate(tmp_path_factory.mktemp("delegate"))
