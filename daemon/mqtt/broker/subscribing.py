"""Subscribes on one connection: asks, takes the broker's answers, and asks again for what was refused."""

import logging
import time

from daemon.mqtt.broker.addresses import Address
from daemon.mqtt.broker.callbacks import BrokerReason
from daemon.mqtt.broker.client import BrokerClient
from daemon.mqtt.broker.limits import carries
from daemon.mqtt.broker.subscriptions import Subscriptions
from daemon.mqtt.broker.troubles import Trouble, Troubles
from daemon.mqtt.broker.waits import Waits

log = logging.getLogger(__name__)


class Subscribing:
    """Belongs to the thread of the connection; only `refused` is for other threads too."""

    def __init__(
        self, client: BrokerClient, address: Address, username: str | None, troubles: Troubles, waits: Waits
    ) -> None:
        self._username = username
        self._client, self._address, self._troubles = client, address, troubles
        self._subscriptions = Subscriptions(waits)
        self._reported: dict[str, Trouble] = {}

    @property
    def refused(self) -> list[str]:
        """The filters to which the broker does not let subscribe now. Callable from any thread."""
        return self._subscriptions.refused

    def add(self, topic_filter: str, qos: int) -> None:
        """Subscribe to a filter, again and again while the broker refuses it."""
        self._subscriptions.add(topic_filter, qos)
        self._ask(topic_filter, qos, time.monotonic())

    def tend(self) -> None:
        """Take the broker's answers, and ask again where it is time. Call it often."""
        now_s = time.monotonic()
        while self._client.subscription_answers:
            message_id, refusal = self._client.subscription_answers.pop(0)
            if refusal is not None:
                self._handle_refusal(self._subscriptions.refused_by(message_id, now_s), refusal)
            elif (granted := self._subscriptions.granted(message_id)) in self._reported:
                log.info("the MQTT broker at %s now grants the subscription to %s", self._address, granted)
                self._settle(granted)
        for topic_filter in self._subscriptions.unanswered(now_s):
            finding = f"the MQTT broker at {self._address} has not answered the subscription to {topic_filter}"
            self._report(topic_filter, Trouble(finding, next_step="asking again"))
        for topic_filter, qos in self._subscriptions.due(now_s):
            self._ask(topic_filter, qos, now_s)

    def _ask(self, topic_filter: str, qos: int, now_s: float) -> None:
        """Send a subscription, unless the broker's limits forbid it."""
        if carries(topic_filter, self._client.limits):
            self._subscriptions.asked(topic_filter, self._client.subscribe(topic_filter, qos), now_s)
            return
        self._subscriptions.give_up(topic_filter)
        finding = f"the MQTT broker at {self._address} has limits that exclude the subscription to {topic_filter}"
        self._report(topic_filter, Trouble(finding, "allow wildcards and larger packets there"))

    def _handle_refusal(self, topic_filter: str | None, refusal: BrokerReason) -> None:
        if topic_filter is not None:
            finding = f"the MQTT broker at {self._address} refused the subscription to {topic_filter}: {refusal.name}"
            self._report(
                topic_filter, Trouble(finding, refusal.remedy_for("read", topic_filter, self._username), "asking again")
            )

    def _report(self, topic_filter: str, trouble: Trouble) -> None:
        self._settle(topic_filter)
        self._reported[topic_filter] = trouble
        self._troubles.report(trouble)

    def _settle(self, topic_filter: str | None) -> None:
        if topic_filter is not None and (trouble := self._reported.pop(topic_filter, None)) is not None:
            self._troubles.settle(trouble)
