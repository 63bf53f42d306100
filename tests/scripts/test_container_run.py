"""The image of perceptd runs: read-only, without rights, with a broker, its page and sound. Campaign `container`."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.container import START_S, Engine, Options, Running, is_healthy
from tests.helpers.container_broker import USER, ShippedBroker
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.helpers.pulse import pulse_server

pytestmark = [
    pytest.mark.campaign("container", part=0),
    pytest.mark.xdist_group("sound"),
    pytest.mark.usefixtures("own_network"),
]

PAGE = "http://localhost:8099/"
NULL = Path("/dev/null")
# SIGTERM to the end: what perceptd.service allows
STOP_S = 6.0


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def memory_of(container: Running) -> Iterator[str]:
    """Yield what each process of a container is, and the memory that it takes, shared pages by their share."""
    looking = 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline; grep ^Pss: $p/smaps_rollup; done 2>/dev/null'
    for command, size in re.findall(r"^(.+) Pss: +(\d+) kB$", container.run("sh", "-c", looking).stdout, re.MULTILINE):
        yield f"{int(size) / 1000:.0f} MB  {command[:80]}"


def test_it_recognises_tells_the_broker_shows_the_page_reloads_and_stops_in_time(
    podman: Engine, image: str, volume: Path, tmp_path: Path
) -> None:
    owner = NULL.stat().st_uid
    with (
        ShippedBroker(tmp_path, free_port()).running() as broker,
        podman.running(image, volume, tmp_path / "log", Options()) as container,
    ):
        wait_until(lambda: is_healthy(container), "the demo recording plays", START_S)
        assert "config.yaml was missing" in container.printed()
        # the login comes by a reload, and the events that waited come too
        broker.configure(volume)
        container.send(signal.SIGHUP)
        assert broker.messages("perceptd/demo/availability", 1) == ["online"]
        events = [json.loads(each) for each in broker.messages("perceptd/demo/demo/event", 2)]
        assert {each["label"] for each in events} & set("0123456789"), events
        # the page
        assert status_of(f"{PAGE}api/session") == 401
        link = container.run("perceptd", "page", "--link").stdout.strip()
        assert link.startswith(f"{PAGE}link/")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(link, timeout=60) as answer:
            assert answer.status == 200
        with opener.open(f"{PAGE}api/session", timeout=60) as answer:
            assert json.load(answer)["role"] == "owner"
        # not root, and nothing to write to but the volume
        assert container.run("id", "-u").stdout.strip() == str(USER)
        assert "Read-only file system" in container.run("touch", "/opt/perceptd/x", check=False).stderr
        assert re.search(r"^CapEff:\s0+$", container.run("cat", "/proc/1/status").stdout, re.MULTILINE)
        assert container.run("perceptd", "check-config").returncode == 0
        print(*memory_of(container), sep="\n")
        code, seconds = container.stop()
        print(f"stopped in {seconds:.1f} s by {podman.name}")
        assert code == 0
        assert seconds < STOP_S
    assert "Traceback" not in container.printed()
    assert NULL.stat().st_uid == owner, "what runs containers here has changed this machine"


def test_a_config_that_cannot_be_used_ends_the_container(
    podman: Engine, image: str, volume: Path, tmp_path: Path
) -> None:
    (volume / "config/config.yaml").write_text("node: demo\nbundel: x\n")
    with podman.running(image, volume, tmp_path / "log", Options()) as container:
        assert container.process.wait(60) == 78
    assert "bundel" in container.printed()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_volume_of_somebody_else_is_named(podman: Engine, image: str, tmp_path: Path, mode: int) -> None:
    volume = tmp_path / "volume"
    (volume / "config").mkdir(parents=True)
    volume.chmod(mode)
    with podman.running(image, volume, tmp_path / "log", Options()) as container:
        assert container.process.wait(60) == 78
    assert f"The volume /data must belong to user {USER}" in container.printed()


def test_an_empty_folder_is_volume_enough(podman: Engine, image: str, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    os.chown(folder, USER, USER)
    with podman.running(image, folder, tmp_path / "log", Options()) as container:
        wait_until(lambda: is_healthy(container), "the demo recording plays", START_S)
        assert container.stop()[0] == 0
    assert (folder / "config/config.yaml").is_file()


def test_it_hears_the_sound_server_of_a_user(podman: Engine, image: str, volume: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    sound.mkdir()
    sound.chmod(0o755)
    with pulse_server(sound) as server, server.playing(440.0):
        config = {"node": "demo", "bundle": "/opt/perceptd/models/digits"}
        config |= {"streams": {"room": {"microphone": {"device": "pulse"}}}}
        (volume / "config/config.yaml").write_text(yaml.safe_dump(config))
        given = Options({"PULSE_SERVER": "unix:/run/pulse/native"}, {"/run/pulse/native": sound / "native"})
        with podman.running(image, volume, tmp_path / "log", given) as container:
            wait_until(lambda: is_healthy(container), "the node starts", START_S)
            assert "pulse" in container.run("perceptd", "devices").stdout
            wait_until(lambda: "room/microphone: delivers" in container.printed(), "blocks come from the sound server")
            assert container.stop()[0] == 0
