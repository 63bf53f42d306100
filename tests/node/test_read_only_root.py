"""A root that cannot be written, with /var and /run in memory: the daemon works, and says that its state is lost."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.node.test_daemon import broker, config, material  # noqa: F401  fixtures

# in a mount namespace of its own
READ_ONLY = """mount -t tmpfs tmpfs /var; mount -t tmpfs tmpfs /run; mkdir -p /var/lib/perceptd /run/perceptd-events
mount -o remount,bind,ro /
if touch /opt/probe 2>/dev/null; then exit 99; fi
exec "$@" """


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount file systems")
def test_events_are_published_from_a_system_that_cannot_be_written(
    tmp_path: Path,
    broker: Mosquitto,  # noqa: F811
    config: Callable[..., dict],  # noqa: F811
) -> None:
    settings = config("readonly", loop=False, pace="fast") | {"state_directory": "/var/lib/perceptd", "history": {}}
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", READ_ONLY, "sh")
    environment = os.environ | {"RUNTIME_DIRECTORY": "/run/perceptd-events", "PYTHONDONTWRITEBYTECODE": "1"}
    with Subscriber(broker, "perceptd/readonly/#") as subscriber:
        with DaemonProcess(settings, tmp_path, prefix=prefix, environment=environment) as daemon:
            assert daemon.wait(60) == 0
        topic = "perceptd/readonly/availability"
        wait_until(lambda: subscriber.payloads(topic)[-1:] == [b"offline"], "offline")
    assert "/var/lib/perceptd lies in memory: what is stored there is lost when the machine restarts" in daemon.log
    assert "Read-only" not in daemon.log
    assert "Traceback" not in daemon.log
    phases = [json.loads(payload)["phase"] for payload in subscriber.payloads("perceptd/readonly/s/event")]
    assert (phases.count("start"), phases.count("end")) == (4, 4)
