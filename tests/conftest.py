from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.helpers.mosquitto import Mosquitto

settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as running:
        yield running
