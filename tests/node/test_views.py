"""Two streams of one camera: it is decoded once, each sees its part, and closing it closes both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.node import Config
from daemon.core.records import MODALITIES, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.node.intake import Intake
from daemon.node.stream_sources import StreamSources
from daemon.node.switches import Switch
from daemon.node.watching import Watching
from daemon.pipeline.gates import Gates
from daemon.sources.factory import views_of
from tests.helpers.clips import write_clip
from tests.helpers.format2_bundle import write_bundle
from tests.helpers.mosquitto import wait_until
from tests.node.test_intake import Publisher

CLOSED = "waits for the camera of the stream yard: it is closed on request"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("material")
    write_clip(directory / "clip.mp4", seconds=1.0)
    write_bundle(directory / "corner")
    return directory


class Place:
    """Both streams, from the source to what reaches their pipelines."""

    def __init__(self, material: Path, *, loop: bool = True) -> None:
        camera = {
            "device": str(material / "clip.mp4"),
            "loop": loop,
            "rotate": 90,
            "masks": [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]],
            "region": {"bottom": 0.5},
            "offset_ms": -500,
        }
        garage = {"device": "stream:yard", "region": {"top": 0.75}}
        streams = {"garage": {"camera": garage}, "yard": {"camera": camera, "microphone": {"device": "camera"}}}
        config = Config.model_validate({"node": "n", "bundle": "b", "streams": streams})
        manifest = load_bundle(material / "corner").manifest
        views = views_of(config.streams)
        self.seen: dict[str, list[Captured]] = {name: [] for name in streams}
        self.counters: dict[str, dict[Modality, Counters]] = {}
        self.sources: dict[str, StreamSources] = {}
        self.intakes: dict[str, Intake] = {}
        for name, stream in config.streams.items():
            counters = self.counters[name] = {modality: Counters() for modality in MODALITIES}
            own, looks_at = views.get(name), views["yard"] if name == "garage" else None
            self.sources[name] = StreamSources(
                name, stream, manifest, counters, on_change=self.changed, views=own, looks_at=looks_at
            )
            watching = Watching(name, Gates(stream.gates))
            self.intakes[name] = Intake(stream, counters, Publisher(), None, watching, own)  # type: ignore[arg-type]

    def changed(self) -> None:
        """A state has changed: the tests look at it themselves."""

    def start(self) -> None:
        for name, sources in self.sources.items():
            sources.start(self.intakes[name].into(self.seen[name].append))

    def turn(self, name: str, switch: Switch) -> None:
        self.intakes[name].turn(switch)
        self.sources[name].turn(switch)

    def camera(self, name: str) -> tuple[str, str | None]:
        health = self.sources[name].health()["camera"]
        return health.state, health.reason

    def frames(self, name: str) -> list[Frame]:
        return [item for item in self.seen[name] if isinstance(item, Frame)]

    def sees(self, name: str) -> None:
        """Wait until the stream gets a new picture."""
        count = len(self.frames(name))
        wait_until(lambda: len(self.frames(name)) > count, f"{name} sees")

    def close(self) -> None:
        for sources in self.sources.values():
            sources.request_stop()
        for sources in self.sources.values():
            assert sources.join(monotonic_ns() + 10 * NS_PER_S) == []


@pytest.fixture
def place(material: Path) -> Iterator[Place]:
    place = Place(material)
    yield place
    place.close()


def test_each_stream_sees_its_part_of_the_upright_masked_picture(place: Place) -> None:
    place.start()
    place.sees("garage")
    place.sees("yard")
    garage, yard = place.frames("garage")[0], place.frames("yard")[0]
    # 64x48 is 48x64 after the turn; of that the yard has the upper half, and the garage the lowest quarter
    assert (yard.size, garage.size) == ((48, 32), (48, 16))
    # what is on the left is on the top after the turn
    assert int(yard.planes[0].max()) == yard.black
    assert int(garage.planes[0].min()) > 50
    same = {frame.captured_ns: frame for frame in place.frames("yard")}
    shared = [frame for frame in place.frames("garage") if frame.captured_ns in same]
    assert shared, "they have the same times, with the offset of the camera"
    assert set(map(type, place.seen["garage"])) == {Frame}, "the sound is that of the yard"
    # both are views of one turned picture
    assert same[shared[0].captured_ns].planes[1].base is shared[0].planes[1].base is not None


def test_pausing_the_view_closes_the_view_alone(place: Place) -> None:
    place.start()
    place.sees("garage")
    place.turn("garage", Switch(blind=True))
    wait_until(lambda: place.camera("garage") == ("paused", None), "closed")
    assert place.sources["garage"].is_open("camera") is False
    place.sees("yard")
    place.turn("garage", Switch())
    place.sees("garage")
    wait_until(lambda: place.camera("garage")[0] == "healthy", "it is well")


@pytest.mark.parametrize("switch", [Switch(paused=True), Switch(blind=True)])
def test_closing_the_camera_closes_the_view_which_says_what_it_waits_for(place: Place, switch: Switch) -> None:
    place.start()
    place.sees("garage")
    place.turn("yard", switch)
    wait_until(lambda: place.camera("garage") == ("paused", CLOSED), "the view waits")
    assert place.sources["garage"].is_open("camera") is False
    # asking for the view itself does not open the camera
    place.turn("garage", Switch(paused=True))
    wait_until(lambda: place.camera("garage") == ("paused", None), "the view is paused itself")
    place.turn("garage", Switch())
    wait_until(lambda: place.camera("garage") == ("paused", CLOSED), "the view waits again")
    place.turn("yard", Switch())
    place.sees("garage")


def test_a_camera_that_is_closed_before_the_start(place: Place) -> None:
    place.turn("yard", Switch(blind=True))
    place.start()
    wait_until(lambda: place.camera("garage") == ("paused", CLOSED), "the view waits")
    wait_until(lambda: place.counters["yard"]["audio"].captured > 0, "the sound of the camera goes on")
    assert place.frames("garage") == []


def test_a_view_ends_with_the_file(material: Path) -> None:
    place = Place(material, loop=False)
    place.start()
    wait_until(lambda: all(sources.have_ended for sources in place.sources.values()), "both have ended")
    assert place.frames("garage")
    assert not any(sources.have_failed for sources in place.sources.values())
    place.close()
