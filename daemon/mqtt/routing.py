"""Routes received messages: commands to their sink, texts to their stream, starts of Home Assistant to the state."""

import logging
from collections.abc import Mapping

from daemon.core.ports import TextSink
from daemon.core.text import clean
from daemon.mqtt.broker.callbacks import Inbound
from daemon.mqtt.commands import MAX_NAME, CommandSink, Request
from daemon.mqtt.session_state import OFFLINE, ONLINE, NodeTopics, SharedState

log = logging.getLogger(__name__)


class MessageRouter:
    """Hands received messages on. Used by the MQTT thread."""

    def __init__(
        self, topics: NodeTopics, state: SharedState, text_sinks: Mapping[str, TextSink], commands: CommandSink | None
    ) -> None:
        """`text_sinks` take the texts of streams, by name. Without `commands` no command is received."""
        self._topics, self._state = topics, state
        self._text_sinks, self._commands = text_sinks, commands

    @property
    def filters(self) -> list[str]:
        """The topic filters of the messages."""
        command = [] if self._commands is None else [f"{self._topics.base}command/+"]
        birth = [] if self._topics.birth is None else [self._topics.birth]
        return [f"{self._topics.base}+/text", *command, *birth]

    def take(self, message: Inbound) -> None:
        """Hand a message on; count a message that cannot be handed on."""
        if message.topic == self._topics.birth:
            self._take_birth(message)
        else:
            self._hand_on(message)

    def _take_birth(self, message: Inbound) -> None:
        """Count a start or an end of Home Assistant. After a start it needs every retained value again."""
        state = self._state
        if message.retained:  # nobody can say when it was meant
            return
        with state.changed:
            if message.payload == ONLINE:
                state.births, state.is_home_assistant_up = state.births + 1, True
                state.send_queue.release()
                state.send_queue.resend_retained()
            elif message.payload == OFFLINE:
                state.is_home_assistant_up = False

    def _hand_on(self, message: Inbound) -> None:
        first_level, _, rest = message.topic.removeprefix(self._topics.base).partition("/")
        try:
            if first_level == "command" and self._commands is not None:
                self._take_command(self._commands, rest, message)
            elif (sink := self._text_sinks.get(first_level)) is not None:
                sink.take(message.payload, message.retained)
            else:
                self._state.counters.drop("text_for_no_stream")
        except Exception:
            log.exception("a message under %s could not be handed on", clean(message.topic))
            self._state.counters.drop("command_failed" if first_level == "command" else "text_failed")

    def _take_command(self, commands: CommandSink, name: str, message: Inbound) -> None:
        if message.retained and message.payload:  # nobody can say when it was meant
            self._state.counters.drop("command_retained")
            return
        # whoever may send a command may not write lines into the log
        commands.take(Request(clean(name, MAX_NAME), message.payload, message.response_topic, message.correlation))
