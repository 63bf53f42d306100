"""A connection with a thread of its own, for programs that only ask or listen."""

from functools import partial
from threading import Event

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.callbacks import MqttCallbacks
from daemon.mqtt.broker.connection import Connection
from daemon.mqtt.broker.credentials import endpoint_of
from daemon.mqtt.broker.waker import Waker
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.thread_loop import LoopThread

JOIN_S = 2.0


class BackgroundClient(MqttCallbacks):
    """A connection with a thread of its own, for programs that only ask or listen. Start it; close it at the end."""

    def __init__(self, config: MqttConfig, client_id: str, thread_name: str) -> None:
        """Raises Refused when the password or a certificate that the config names cannot be used."""
        endpoint = endpoint_of(config, client_id)
        self._closing = Event()
        self._waker = Waker()
        heartbeat = Heartbeat(thread_name)
        self.connection = Connection(endpoint, self, self._waker, heartbeat)
        self._thread = LoopThread(heartbeat, partial(self.connection.run, self._closing))

    def start(self) -> None:
        """Begin to connect, and go on until `close`."""
        self._thread.start()

    def on_turn(self) -> None:
        """End the connection once `close` was called."""
        if self._closing.is_set():
            self.connection.disconnect()

    def close(self) -> None:
        """Disconnect and end the thread; a thread that hangs is abandoned."""
        self._closing.set()
        self._waker.wake()
        if self._thread.join(JOIN_S):
            self._waker.close()
