"""What metrics show: a snapshot of a running node, made when somebody reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.histogram import Durations
from daemon.encoders.model_io import invoke_durations
from daemon.mqtt.update_payloads import ModelsPayload
from daemon.node.active_bundle import ActiveBundle
from daemon.node.bundle_updates import ModelsTopic
from daemon.node.health import Health
from daemon.node.reports import Reporter
from daemon.node.stream_publisher import StreamPublisher


@dataclass(frozen=True, slots=True)
class Observed:
    """A snapshot. `models` is None where bundles are not replaced.

    `invokes` has the durations of each encoder of the active bundle. `publishes` has those from capture until the
    recognition reaches the MQTT client, of each stream.
    """

    health: Health
    models: ModelsPayload | None
    invokes: Mapping[str, Durations]
    publishes: Mapping[str, Durations]


class MetricsInput:
    """Takes the snapshot of a node from the parts that make its health. Callable from any thread, but for `tell`."""

    def __init__(
        self,
        reporter: Reporter,
        active: ActiveBundle,
        publishers: Mapping[str, StreamPublisher],
        models: ModelsTopic | None,
    ) -> None:
        self._reporter = reporter
        self._active = active
        self._publishers = publishers
        self._models = models
        self._problems: tuple[str | None, str | None] = None, None

    def tell(self, trouble: str | None, reload_problem: str | None) -> None:
        """Take what only the node's own loop knows, see Health."""
        self._problems = trouble, reload_problem

    def observe(self) -> Observed:
        """Return a snapshot."""
        recogniser = self._active.recogniser
        trouble, reload_problem = self._problems
        return Observed(
            health=self._reporter.health(recogniser, trouble, reload_problem),
            models=None if self._models is None else self._models.payload(),
            invokes={name: invoke_durations.of(name).read() for name in recogniser.encoders},
            publishes={name: publisher.durations.read() for name, publisher in self._publishers.items()},
        )
