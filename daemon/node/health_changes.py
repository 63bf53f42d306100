"""Decides when health is published: when something that matters has changed, and at intervals. Pure."""

from collections.abc import Hashable

from daemon.core.timing import NS_PER_S
from daemon.node.accelerator_health import AcceleratorHealth, fails
from daemon.node.health import Health, SourceHealth, is_faulty

# So many changes in a row are published at once. Further ones wait until as many intervals have passed.
MAX_BURST = 10


def substance(health: Health) -> Hashable:
    """Return the part of health that matters: states, reasons, devices and the connection; no counter and no time.

    A source that keeps failing is the same from its first failure on, although it is opened again and again.
    """
    mqtt = health.mqtt
    return (
        (health.status, health.trouble, health.reload_problem, health.metrics_problem, health.state_problem),
        (health.bundle, health.bundle_changed, health.teaching.problem, health.history.problem),
        (mqtt.connected, mqtt.reason, tuple(mqtt.refused_subscriptions), mqtt.outbox.trouble),
        tuple((modality, encoder.device) for modality, encoder in health.encoders.items()),
        tuple((name, _accelerator(accelerator)) for name, accelerator in health.accelerators.items()),
        tuple(
            (name, stream.available, stream.paused, stream.camera, stream.microphone)
            for name, stream in health.streams.items()
        ),
        tuple(
            (stream_name, name, _source(source))
            for stream_name, stream in health.streams.items()
            for name, source in stream.sources.items()
        ),
    )


def _source(source: SourceHealth) -> Hashable:
    if source.state == "degraded":
        return source.state, source.reason
    return "fails" if is_faulty(source) else source.state


def _accelerator(accelerator: AcceleratorHealth) -> Hashable:
    return "fails" if fails(accelerator) else accelerator.state


class HealthSchedule:
    """Says when health is due: at changes while the broker is connected, and when an interval passes without a message.

    In any N intervals at most `MAX_BURST` + N + 1 messages are due, however often the health changes.
    """

    def __init__(self, every_s: float) -> None:
        """`every_s` is the length of an interval."""
        self._every_ns = round(every_s * NS_PER_S)
        self._published_ns: int | None = None
        self._published: Hashable = None
        self._allowed, self._allowed_ns = float(MAX_BURST), 0

    def is_interval_over(self, now_ns: int) -> bool:
        """Return whether the latest message is so old that health is due whatever it is."""
        return self._published_ns is None or now_ns - self._published_ns >= self._every_ns

    def is_due(self, health: Health, now_ns: int) -> bool:
        """Return whether to publish this health now; the caller then does."""
        if self._published_ns is None:
            self._note(health, now_ns)
            return True
        self._allowed = min(MAX_BURST, self._allowed + (now_ns - self._allowed_ns) / self._every_ns)
        self._allowed_ns = now_ns
        # without a connection nobody hears of a change; the next connection publishes the latest health
        is_news = health.mqtt.connected and self._allowed >= 1 and substance(health) != self._published
        if not (is_news or self.is_interval_over(now_ns)):
            return False
        self._note(health, now_ns)
        return True

    def _note(self, health: Health, now_ns: int) -> None:
        self._published_ns = self._allowed_ns = now_ns
        self._published = substance(health)
        self._allowed -= 1
