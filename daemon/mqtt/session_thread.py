"""The part of a session that runs on the MQTT thread: sends what is queued, hands on what is received."""

import math
import time

from daemon.core.logs import rate_limited_logger
from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.broker.callbacks import BrokerReason, Inbound, MqttCallbacks
from daemon.mqtt.broker.connection import MAX_AWAITING_ACK, Connection
from daemon.mqtt.broker.credentials import Endpoint
from daemon.mqtt.broker.refusals import can_pass
from daemon.mqtt.broker.send_limits import SendLimits
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.broker.waits import STANDARD, Waits
from daemon.mqtt.cuts import ENDS_THE_CONNECTION
from daemon.mqtt.namesake import NamesakeWatch
from daemon.mqtt.outbox.outbox import Outbox
from daemon.mqtt.retries import TRYING_AGAIN, Retries
from daemon.mqtt.routing import MessageRouter
from daemon.mqtt.send_queue import MAX_QOS1, Outbound
from daemon.mqtt.session_state import OFFLINE, NodeTopics, SharedState
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.thread_loop import LoopThread

refusal_log = rate_limited_logger(__name__)


class SessionThread(MqttCallbacks):
    """Sends the queued messages and hands received ones on. One thread, named `mqtt`, which never waits for a disk."""

    def __init__(
        self,
        endpoint: Endpoint,
        topics: NodeTopics,
        namesakes: NamesakeWatch,
        state: SharedState,
        outbox: Outbox,
        router: MessageRouter,
        heartbeat: Heartbeat,
        waits: Waits = STANDARD,
    ) -> None:
        """`namesakes` judges the health that comes under the node's topic; `router` takes all other messages.

        `published` counts sent messages; `unconfirmed` counts those of QoS 1 that the broker took with QoS 0 only.
        """
        self._topics, self._namesakes = topics, namesakes
        self._began_ns = monotonic_ns()
        self._username = endpoint.login[0]
        self._state, self._outbox = state, outbox
        self._router = router
        self.published = self.unconfirmed = 0
        self._limits = SendLimits(state.counters)
        self._awaiting_ack: dict[int, Outbound] = {}
        self._puback_due_s = 0.0
        self._retries = Retries()
        self._is_first_acknowledged = self._has_worked = False
        self._has_published_health = False
        self._is_offline_queued = self._is_offline_accepted = False
        self._waits = waits
        self._connection = Connection(endpoint, self, state.waker, heartbeat, waits)
        self._thread = LoopThread(heartbeat, self._run)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def join(self, deadline_s: float) -> bool:
        """Wait for the thread; return whether it has ended."""
        return self._thread.join(deadline_s)

    @property
    def troubles(self) -> list[Trouble]:
        """The troubles since a connection last was steady, and what is refused now. Callable from any thread."""
        return [*self._connection.troubles, *self._retries.troubles]

    @property
    def refusals(self) -> list[Trouble]:
        """Which messages the broker refuses now, and why. Callable from any thread."""
        return list(self._retries.troubles)

    @property
    def refused(self) -> list[str]:
        """The topic filters to which the broker does not let subscribe now. Callable from any thread."""
        return self._connection.refused

    def on_connected(self) -> None:
        """Subscribe, and make every retained topic due."""
        for topic_filter in (self._topics.health, *self._router.filters):
            self._connection.subscribe(topic_filter)
        address, state = self._connection.address, self._state
        for remark in self._limits.begin(self._connection.limits, str(address), address.host):
            self._connection.report(remark)
        with state.changed:
            state.connected, state.since_ns = True, monotonic_ns()
            state.limits = self._limits.present
            state.connects += 1
            if self._retries.begin(address.host):
                state.send_queue.release()
            state.send_queue.resend_retained()
            state.changed.notify_all()

    def on_disconnected(self) -> None:
        """Queue again what was not acknowledged, and drop the QoS 0 messages."""
        state, lost, loss = self._state, list(self._awaiting_ack.values()), self._connection.loss
        if (trouble := self._limits.end(loss)) is not None:
            self._connection.report(trouble)
        for message in self._retries.lost(lost, self._lasted_ns, loss, has_worked=self._has_worked):
            self._handle_refusal(message, ENDS_THE_CONNECTION)
        with state.changed:
            state.connected, state.since_ns = False, monotonic_ns()
            state.limits = None
            state.send_queue.requeue([message for message in lost if message.qos > 0])
            for message in [message for message in lost if message.qos == 0] + state.send_queue.drop_qos0():
                state.counters.drop(f"{message.kind}_not_connected")
        self._awaiting_ack.clear()
        self._is_first_acknowledged = self._has_worked = False

    @property
    def _lasted_ns(self) -> int:
        """How long the connection is up."""
        return monotonic_ns() - self._state.since_ns

    def on_message(self, message: Inbound) -> None:
        """Judge health of the node's name; hand any other message on."""
        if message.topic == self._topics.health:
            self._check_for_namesake(message)
        else:
            self._router.take(message)

    def on_acknowledged(self, message_id: int, refusal: BrokerReason | None) -> None:
        """Tell the outbox that the broker has an event, or never accepts it."""
        message = self._awaiting_ack.pop(message_id, None)
        if message is None:  # a QoS 0 message that was written while something was read
            return
        self._is_first_acknowledged = True
        self._puback_due_s = time.monotonic() + self._waits.puback_s
        self._limits.acknowledged(message)
        if refusal is None:
            self.published, self._has_worked = self.published + 1, True
            self._has_published_health |= message.topic == self._topics.health
            with self._state.changed:
                self._state.accepted(message)
            self._retries.accepted(message)
            self._is_offline_accepted |= message == self._topics.availability(OFFLINE)
        elif self._handle_refusal(message, refusal):
            return
        if message.sequence is not None:
            self._outbox.acknowledged(message.sequence)

    def _handle_refusal(self, message: Outbound, refusal: BrokerReason) -> bool:
        """Keep a refused message for another try, or drop it; return whether it is kept."""
        finding = f"the MQTT broker refused {message.topic}: {refusal.name}"
        trouble = Trouble(finding, refusal.remedy_for("write", message.topic, self._username))
        is_kept = self._retries.refused(message, refusal, trouble, monotonic_ns(), has_worked=self._has_worked)
        passes = is_kept and can_pass(refusal.code)
        if not passes:
            self._state.counters.drop(f"{message.kind}_refused")
        if is_kept:
            refusal_log.warning("%s", self._retries.troubles[0] if passes else f"{trouble}; {TRYING_AGAIN}")
        else:
            self._connection.report(trouble)
        with self._state.changed:
            self._state.refused(message, is_kept=is_kept)
        return is_kept

    @property
    def _may_send_event(self) -> bool:
        if not self._retries.has_refused_events:
            return True
        under_way = sum(message.sequence is not None for message in self._awaiting_ack.values())
        return self._retries.may_send_event(under_way, monotonic_ns())

    def on_turn(self) -> None:
        """Send what is queued; end the connection during a stop."""
        while self._connection.is_ready and (message := self._next()) is not None:
            self._send_or_leave_out(message)
        if self._awaiting_ack and time.monotonic() > self._puback_due_s:
            finding = f"the MQTT broker at {self._connection.address} does not acknowledge what it was sent"
            self._connection.leave(Trouble(finding, next_step="connecting again"))
            self._puback_due_s = math.inf
        if self._state.stop.is_set():
            self._finish()

    def _send_or_leave_out(self, message: Outbound) -> None:
        sent = self._limits.as_sent(message)
        if not self._limits.takes(sent):
            self._leave_out(message)
            return
        message_id = self._connection.publish(sent)
        self._limits.sent(message)
        if sent.qos == 0:
            self.published += 1
            return
        if not self._awaiting_ack:
            self._puback_due_s = time.monotonic() + self._waits.puback_s
        self._awaiting_ack[message_id] = message
        self.unconfirmed += self._limits.present.max_qos == 0

    def _leave_out(self, message: Outbound) -> None:
        """Drop a message that is too large for the broker."""
        self._connection.report(self._limits.leave_out(message))
        self._retries.forget(message)
        if message.sequence is not None:
            self._outbox.acknowledged(message.sequence)

    def _run(self) -> None:
        state = self._state
        self._connection.run(state.stop)
        with state.changed:
            # events of the outbox are on disk and wait there
            for message in state.send_queue.drop_qos1():
                if message.sequence is None:
                    state.counters.drop(f"{message.kind}_stopped")
            for message in self._awaiting_ack.values():
                if message.sequence is None:
                    state.counters.drop(f"{message.kind}_unacknowledged")
            state.waker.close()

    def _next(self) -> Outbound | None:
        state = self._state
        with state.changed:
            state.is_woken = False
            if self._limits.awaits_proof or (self._awaiting_ack and not self._is_first_acknowledged):
                # a broker that refuses the first message may cut the connection: its reason is lost if more is sent
                return None
            for topic in self._retries.take_due_topics(monotonic_ns()):
                if not state.send_queue.resend(topic):
                    self._retries.withdraw(topic)
            most = 1 if self._retries.is_careful(self._lasted_ns) else MAX_AWAITING_ACK
            may_await_ack = len(self._awaiting_ack) < min(most, self._limits.present.receive_maximum)
            message = state.send_queue.take(may_await_ack, self._may_send_event)
            if self._outbox.is_behind and state.send_queue.qos1_room >= MAX_QOS1 // 2:
                self._outbox.wake()
            state.changed.notify_all()
            return message

    def _finish(self) -> None:
        """Do one step of a stop: send everything, then "offline", then disconnect. Each waits for acknowledgements."""
        state = self._state
        if state.is_sending_over:
            self._connection.abort()
            return
        may_send_event = self._may_send_event  # events that are refused now wait in the outbox
        if may_send_event and self._outbox.is_behind and not state.is_outbox_over:
            return
        if not self._connection.is_ready or self._awaiting_ack or not state.send_queue.is_empty(may_send_event):
            return
        if self._is_offline_queued:
            # cut off, the broker publishes the last will
            (self._connection.disconnect if self._is_offline_accepted else self._connection.abort)()
            return
        self._is_offline_queued = True
        offline = self._topics.availability(OFFLINE)
        with state.changed:
            state.send_queue.retain(offline)
            state.send_queue.resend(offline.topic)
        self.on_turn()

    def _check_for_namesake(self, health: Inbound) -> None:
        """Give way if a second daemon uses this node name.

        Each of the two cuts off the other by connecting. The instance that notices first disconnects.
        """
        # the start is computed anew, because the wall clock may have been set since
        began = wall_time(self._began_ns)
        trouble = self._namesakes.look(health, has_published=self._has_published_health, began=began)
        if trouble is not None:
            self._connection.give_way(trouble)
