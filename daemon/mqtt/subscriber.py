"""A link in a thread of its own, for who only asks or listens."""

import threading

from daemon.mqtt.link import Hooks, Link
from daemon.mqtt_config import MqttConfig

JOIN_S = 2.0


class BackgroundLink:
    """Connects when it is made, and for as long as it takes; until it is closed."""

    def __init__(self, config: MqttConfig, client_id: str, hooks: Hooks, name: str) -> None:
        """`hooks.turn` must disconnect the link once `is_closing`; `name` is the thread's."""
        self._ended = threading.Event()
        self.link = Link(config, client_id, hooks)
        self._thread = threading.Thread(target=self.link.run, args=(self._ended,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    @property
    def is_closing(self) -> bool:
        """Whether it is time to disconnect."""
        return self._ended.is_set()

    def close(self) -> None:
        """Disconnect and end the thread; one that hangs is left behind."""
        self._ended.set()
        self.link.wake()
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            self.link.close()
