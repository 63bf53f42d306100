"""The messages of a running daemon match docs/mqtt, and carry no picture and no sound."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest
from contracts import CHANNELS, TARGET, Channel, documents, rendered

from tests.helpers.daemon import ROOT, DaemonProcess
from tests.helpers.mosquitto import Heard, Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy

CLIP = ROOT / "models" / "digits" / "demo" / "clip.mp4"
# so many bytes cannot agree by chance, and so many such pieces of the clip are searched for
WINDOW, WINDOWS = 32, 400
STATE_FILES = ("outbox.sqlite3", "switches.json", "announced.json", "device_id")


@pytest.mark.parametrize(
    ("name", "document"), list(documents()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_files_of_docs_mqtt_match_the_code(name: str, document: dict) -> None:
    assert (TARGET / name).read_text(encoding="utf-8") == rendered(document), "run python -m contracts in scripts/"
    if name.endswith(".schema.json"):
        jsonschema.Draft202012Validator.check_schema(document)


def test_docs_mqtt_has_no_other_files() -> None:
    assert {path.name for path in TARGET.iterdir()} == {name for name, _ in documents()}


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = dict(documents())["asyncapi.json"]

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from [inner] if key == "$ref" else references(inner)

    found = list(references(document))
    assert len(found) >= 3 * len(CHANNELS)
    for reference in found:
        file, _, path = reference.partition("#")
        target: object = json.loads((TARGET / file).read_text(encoding="utf-8")) if file else document
        for key in filter(None, path.split("/")):
            assert isinstance(target, dict)
            target = target[key]


class Run:
    """All messages received, all bytes between daemon and broker, and the directory that the daemon could write to."""

    def __init__(self, heard: list[Heard], wire: bytes, directory: Path) -> None:
        self.heard, self.wire, self.directory = heard, wire, directory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("run")
    demo = CLIP.parent
    settings = {
        "node": "observed",
        "bundle": str(ROOT / "models" / "digits"),
        "mqtt": {"recognitions": {"publish": "every"}},
        "health": {"every_s": 1.0},
        "streams": {"s": {"replay": {"file": str(CLIP), "text": str(demo / "clip.text.yaml"), "loop": True}}},
    }
    environment = dict(os.environ, HOME=str(directory), TMPDIR=str(directory))
    with Mosquitto() as broker, Proxy(broker.port) as proxy, Subscriber(broker) as subscriber:
        settings["mqtt"]["port"] = proxy.port

        def heard(kind: str, count: int) -> bool:
            return sum(message.topic.endswith(f"/{kind}") for message in subscriber.heard.copy()) >= count

        with DaemonProcess(settings, directory, environment=environment) as daemon:
            wait_until(lambda: heard("event", 6), "events")
            for name in ("describe", "pause", "mute", "resume", "nonsense"):
                broker.publish(f"perceptd/observed/command/{name}", b"{}")
                wait_until(lambda name=name: heard(f"{name}/result", 1), f"the answer to {name}")
            assert daemon.stop() == 0
        subscriber.wait_offline("observed")
        return Run(subscriber.heard, bytes(proxy.transmitted), directory)


@pytest.mark.xdist_group("contracts")
def test_every_message_is_valid_under_its_schema(run: Run) -> None:
    used = set()
    validators = {channel.name: jsonschema.Draft202012Validator(channel.schema) for channel in CHANNELS}
    for message in run.heard:
        channel = _channel_of(message.topic)
        used.add(channel.name)
        if channel.action == "receive":
            continue
        payload = message.payload.decode() if channel.model is None else json.loads(message.payload)
        validators[channel.name].validate(payload)
        assert message.qos == channel.qos
    assert "snapshot" not in used, "no picture leaves the device by default"
    # a broker of large packets gets no announcement in small pieces
    assert used >= {channel.name for channel in CHANNELS if channel.action == "send"} - {"component", "snapshot"}


def _channel_of(topic: str) -> Channel:
    levels = topic.split("/")
    for channel in CHANNELS:
        expected = channel.address.split("/")
        if len(expected) == len(levels) and all(
            e == level or e[0] == "{" for e, level in zip(expected, levels, strict=True)
        ):
            return channel
    return next(channel for channel in CHANNELS if channel.name == "command_pause")  # the unknown command of this test


@pytest.mark.xdist_group("contracts")
def test_no_picture_and_no_sound_is_published_or_written(run: Run) -> None:
    written = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    state = run.directory / "state"
    for path in written:
        is_of_this_test = path.parent == run.directory and path.name in ("config.yaml", "daemon.log")
        assert is_of_this_test or (
            path.relative_to(state).as_posix().startswith((*STATE_FILES, "teaching/teaching.db", "models/"))
        ), path
    everything = b"\0".join([run.wire, *written.values()])
    assert len(run.wire) > 50_000
    for piece in _pieces():
        assert piece not in everything
        for shift in range(3):
            # the characters that do not depend on the bytes around the piece
            assert base64.b64encode(piece[shift:])[: WINDOW // 2] not in everything


def _pieces() -> Iterator[bytes]:
    """Yield pieces of the file, of its decoded pictures and of its decoded sound."""
    rng = np.random.default_rng(1)
    with av.open(str(CLIP)) as container:
        pictures = [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)][::20]
    with av.open(str(CLIP)) as container:
        sound = [frame.to_ndarray() for frame in container.decode(audio=0)]
    floats = np.concatenate(sound, axis=1).reshape(-1)
    sources = [CLIP.read_bytes(), b"".join(pictures), floats.tobytes(), (floats * 32767).astype("<i2").tobytes()]
    for source in sources:
        found = 0
        while found < WINDOWS // len(sources):
            start = int(rng.integers(len(source) - WINDOW))
            piece = source[start : start + WINDOW]
            if len(set(piece)) > WINDOW // 2:  # a plain wall or silence equals many other things
                found += 1
                yield piece
