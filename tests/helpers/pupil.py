"""A running node to which a test teaches something by MQTT."""

import json

from daemon.mqtt.payloads import parse_time
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

EVENT_S = 30.0


class Pupil:
    """A daemon's node: sends commands to it, and reads what it publishes."""

    def __init__(self, subscriber: Subscriber, broker: Mosquitto, name: str) -> None:
        self.subscriber, self.broker, self.name = subscriber, broker, name

    def send(self, command: str, **arguments: object) -> dict:
        """Send a command; return its answer."""
        topic = f"perceptd/{self.name}/command/{command}"
        count = len(self.subscriber.payloads(f"{topic}/result"))
        self.broker.publish(topic, json.dumps(arguments).encode())
        return json.loads(self.subscriber.wait_for(f"{topic}/result", count + 1)[-1])

    def all(self, topic: str) -> list[dict]:
        """Return the messages whose topic ends like this."""
        heard = self.subscriber.heard.copy()
        return [json.loads(each.payload) for each in heard if each.topic.endswith(f"/{topic}")]

    def latest(self, topic: str) -> dict:
        """Return the latest message whose topic ends like this, or an empty one."""
        return (self.all(topic) or [{}])[-1]

    def wait_for_event(self, label: str, timeout_s: float = EVENT_S) -> dict:
        """Wait for an event of the label that starts from now on."""
        count = len(self.starts(label))
        wait_until(lambda: len(self.starts(label)) > count, f"an event {label}", timeout_s)
        return self.starts(label)[count]

    def label(self, name: str | None = None) -> dict:
        """Return what the topic `teaching` says of a label; without a name, of the first one."""
        labels = self.latest("teaching").get("labels") or []
        return next((each for each in labels if name in (None, each["label"])), {})

    def is_ready(self, name: str, presses: int) -> bool:
        """Return whether a label with so many presses is recognised."""
        label = self.label(name)
        return bool(label) and label["state"] == "ready" and label["presses"] == presses

    def background(self, stream: str) -> int:
        """Return how many moments of background of a stream are known."""
        place = self.latest("teaching").get("places", {}).get(stream)
        return 0 if place is None else place["background"]

    def seconds(self) -> float:
        """Return how long the node has recognised something."""
        times = [parse_time(each["time"]) for each in self.all("recognition")]
        return (times[-1] - times[0]).total_seconds() if times else 0.0

    def starts(self, label: str) -> list[dict]:
        """Return the starts of events of a label."""
        return [event for event in self.all("event") if event["label"] == label and event["phase"] == "start"]
