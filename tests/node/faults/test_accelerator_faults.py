"""A replay on an accelerator that fails repeatedly, in every way: no frame is lost, no result is wrong."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import ON_CPU, DevicesConfig
from daemon.config.streams import EventsConfig, FusionConfig, ReplayConfig, StreamConfig
from daemon.core.records import MODALITIES, Array, Counters, Modality
from daemon.fusion.fuse import Fused
from daemon.inference.accelerator import Accelerator
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.sources.factory import build_sources
from tests.helpers.accelerators import AT_ONCE, delegate_config
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.campaign import repetitions, share
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import wait_until

FAULTS = repetitions(5, campaign=50)
FRAMES = 150
MOST_REPLAYS = 3000

# just within the deadline, which is at least 20 ms
SLOW_US = 19_000

DIGITS = ROOT / "models" / "digits"

# invokes before the image encoder is used: the bundle's one picture, noise, and sixteen for the throughput
VERIFICATION_INVOKES = 18

# differences of scores; the self-test of the shipped bundle allows the second
FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = 0.05


# Each kind of failure, and the options of the delegate that cause it.
KINDS: list[tuple[str, dict[str, object]]] = [
    ("hung", {"fault": "hang", "after": VERIFICATION_INVOKES + 5}),
    ("died", {"fault": "abort", "after": VERIFICATION_INVOKES + 5}),
    ("died", {"fault": "segfault", "after": VERIFICATION_INVOKES + 5}),
    ("died", {"fault": "error", "after": VERIFICATION_INVOKES + 5}),
    ("slow", {"fault": "slow", "after": VERIFICATION_INVOKES + 40, "slow_us": SLOW_US}),
    ("wrong", {"fault": "wrong", "after": VERIFICATION_INVOKES + 5}),
    ("refused", {"fault": "refuse"}),
]


@dataclass
class Replayed:
    """The scores of one or more replays, and the devices that ran their encoders."""

    scores: list[Array] = field(default_factory=list)
    devices: Counter[str] = field(default_factory=Counter)
    counters: dict[Modality, Counters] = field(
        default_factory=lambda: {modality: Counters() for modality in MODALITIES}
    )

    def take(self, fused: Fused) -> None:
        """Record the scores, and the device that ran each encoder."""
        for recognition in fused.recognitions:
            self.scores.append(recognition.scores)
            for modality, embedding in recognition.moment.embeddings.items():
                self.devices[f"{modality} {embedding.device}"] += 1


class Node:
    """The encoders of a bundle on the configured devices. A context manager."""

    def __init__(self, bundle: Path, clip: Path, devices: DevicesConfig, text: Path | None = None) -> None:
        loaded: Recogniser = load_recogniser(load_bundle(bundle))
        self.recogniser = accelerate(loaded, devices, retries=AT_ONCE)
        self._encoders = EncoderPool(
            self.recogniser.parallel_encoders, self.recogniser.bundle.manifest.encoder_modalities
        )
        recording = ReplayConfig(file=str(clip), text=text and str(text), loop=False, pace="fast")
        self._config = StreamConfig(replay=recording)

    @property
    def accelerator(self) -> Accelerator:
        (accelerator,) = self.recogniser.accelerators
        return accelerator

    def __enter__(self) -> "Node":
        for accelerator in self.recogniser.accelerators:
            accelerator.start()
        self._encoders.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._encoders.close(5)
        for accelerator in self.recogniser.accelerators:
            assert accelerator.close(10)

    def replay(self) -> Replayed:
        """Replay the recording once, as fast as possible, through the daemon's flow for ordered replays."""
        replayed = Replayed()
        manifest = self.recogniser.bundle.manifest
        sources = build_sources(
            self._config, sample_rate_hz=manifest.sample_rate_hz, picture=True, counters=replayed.counters
        )
        stop = threading.Event()
        flow = OrderedFlow(
            "s",
            Preparation(manifest, replayed.counters),
            self._encoders,
            self.recogniser.new_fusion(self.recogniser.new_head(), "s", FusionConfig(max_rate_hz=1000), EventsConfig()),
            replayed.take,
            replayed.counters,
            stop,
        )
        sources["replay"].run(flow.deliver, stop)
        flow.finish()
        return replayed


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bright") / "bundle")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    random = np.random.default_rng(11)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(FRAMES):
            picture = np.repeat(np.repeat(random.integers(0, 256, (6, 8, 3), np.uint8), 8, axis=0), 8, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def on_cpu(bundle: Path, clip: Path) -> Iterator[Replayed]:
    with Node(bundle, clip, ON_CPU) as node:
        yield node.replay()


def assert_same_scores(found: Replayed, expected: Replayed, tolerance: float) -> None:
    """Fail unless both have as many recognitions, each with the same scores."""
    assert len(found.scores) == len(expected.scores)
    assert np.abs(np.array(found.scores) - np.array(expected.scores)).max() <= tolerance


def counted(accelerator: Accelerator, kind: str) -> int:
    """Return its failures of a kind. On a busy machine a slow answer may also be too late."""
    failures: dict[str, int] = dict(accelerator.status.failures)
    return failures.get(kind, 0) + (failures.get("hung", 0) if kind == "slow" else 0)


@pytest.mark.campaign("accelerator-faults")
@pytest.mark.alone  # on a busy machine answers come too late, and killed processes end late
@pytest.mark.parametrize(
    ("kind", "options"),
    share(KINDS, 2, "accelerator faults"),
    ids=lambda value: value if isinstance(value, str) else value["fault"],
)
def test_repeated_faults_lose_no_frame_and_give_no_wrong_score(
    kind: str, options: dict[str, object], bundle: Path, clip: Path, on_cpu: Replayed, delegate: Path
) -> None:
    """With `check_every_s` 0 each result waits for a check, so no silently wrong result is used."""
    devices = delegate_config(delegate, check_every_s=0.0 if kind == "wrong" else 1.0, **options)
    total: Counter[str] = Counter()
    with Node(bundle, clip, devices) as node:
        for _ in range(MOST_REPLAYS):
            replayed = node.replay()
            image = replayed.counters["image"]
            assert (image.captured, image.encoded, image.dropped) == (0, FRAMES, {})
            assert sum(replayed.devices.values()) == FRAMES
            assert_same_scores(replayed, on_cpu, FLOAT_TOLERANCE)
            total += replayed.devices
            if counted(node.accelerator, kind) >= FAULTS:
                break
        assert counted(node.accelerator, kind) >= FAULTS, node.accelerator.status
    assert total["image cpu"] > 0
    used = total[f"image {delegate.name}"]
    assert used == 0 if kind == "refused" else used >= FAULTS


@pytest.mark.alone  # on a busy machine the answers of the delegate come too late
def test_the_shipped_bundle_gives_the_same_scores_on_the_delegate(delegate: Path) -> None:
    demo = DIGITS / "demo"
    runs = []
    for devices in (ON_CPU, delegate_config(delegate)):
        with Node(DIGITS, demo / "clip.mp4", devices, demo / "clip.text.yaml") as node:
            for accelerator in node.recogniser.accelerators:
                wait_until(lambda: accelerator.status.state == "in_use", "in use", 30)  # noqa: B023  (there is one)
            runs.append(node.replay())
    on_cpu, on_delegate = runs
    assert_same_scores(on_delegate, on_cpu, INT8_TOLERANCE)
    assert {name.split()[1] for name in on_cpu.devices} == {"cpu"}
    assert {name for name, count in on_delegate.devices.items() if count} >= {
        f"{modality} {delegate.name}" for modality in MODALITIES
    }
