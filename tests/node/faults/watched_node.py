"""A daemon's sources as its published health shows them."""

import json
from collections.abc import Callable

from tests.helpers.mosquitto import Subscriber, wait_until
from tests.helpers.promised import within

DELIVERS = frozenset({"healthy", "degraded"})
TROUBLE = frozenset({"stalled", "backing_off", "recovering"})


class WatchedNode:
    """The latest health of a node, as a subscriber receives it."""

    def __init__(self, subscriber: Subscriber, node: str) -> None:
        self._subscriber = subscriber
        self._topic = f"perceptd/{node}/health"

    def health(self) -> dict:
        return json.loads(self._subscriber.payloads(self._topic)[-1])

    def next_health(self) -> dict:
        """Return the first health that arrives from now on: a slow node may not have told its latest counts yet."""
        received = len(self._subscriber.payloads(self._topic))
        wait_until(lambda: len(self._subscriber.payloads(self._topic)) > received, "the next health")
        return self.health()

    def source(self, path: str) -> dict:
        """Return the health of "stream/source"."""
        stream, _, name = path.partition("/")
        return self.health()["streams"][stream]["sources"][name]

    def captured(self, path: str, modality: str) -> int:
        return self.health()["streams"][path.partition("/")[0]]["inputs"][modality]["captured"]

    def takes(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        """Wait until the condition holds. Fail with the sources' health when it takes longer than promised."""
        try:
            within(within_s, condition, what)
        except AssertionError:
            print(self._sources())
            raise

    def _sources(self) -> str:
        streams = self.health()["streams"] if self._subscriber.payloads(self._topic) else {}
        return json.dumps({name: stream["sources"] for name, stream in streams.items()}, indent=1)
