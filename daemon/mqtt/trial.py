"""Connects to the broker once, to say whether a node could."""

import threading
import uuid

from daemon.mqtt.background import BackgroundLink
from daemon.mqtt.link import Hooks
from daemon.mqtt_config import MqttConfig

ANSWER_S = 20.0
"""A broker that takes connections and says nothing is told after 10 s by the link."""

SECOND_TRY_S = 3.0
"""After a trouble the link tries again within a second, maybe in the broker's other protocol."""

LOOK_S = 0.05


def try_broker(config: MqttConfig) -> str | None:
    """What keeps a node from the broker, in words; None: it is reached, verified, and takes the login.

    Raises Refused when a password or a certificate that the config names is no good.
    """
    attempt = _Attempt(config)
    try:
        return attempt.wait()
    finally:
        attempt.close()


class _Attempt:
    def __init__(self, config: MqttConfig) -> None:
        self._connected = threading.Event()
        hooks = Hooks(self._connected.set, lambda: None, lambda _message: None, lambda _mid, _refusal: None, self._turn)
        self._background = BackgroundLink(config, f"perceptd-doctor-{uuid.uuid4().hex[:8]}", hooks, "mqtt-doctor")
        self._address = f"{config.host}:{config.port}"
        self.close = self._background.close
        self._background.start()

    def wait(self) -> str | None:
        """See `try_broker`."""
        left_s = ANSWER_S
        while left_s > 0 and not self._connected.wait(LOOK_S):
            left_s -= LOOK_S
            if self._background.link.trouble is not None:
                self._connected.wait(SECOND_TRY_S)
                break
        if self._connected.is_set():
            return None
        trouble = self._background.link.trouble
        return trouble or f"the MQTT broker at {self._address} has not answered for {ANSWER_S:g} s"

    def _turn(self) -> None:
        if self._background.is_closing:
            self._background.link.disconnect()
