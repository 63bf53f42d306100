"""A single item is recognised by all encoders of its modalities; sounds of several encoders merge by their ends."""

from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.release import SELFTEST_PREFIX
from daemon.core.records import Moment
from daemon.inference.graphs import write_head
from daemon.pipeline.offline import Item, OfflineRecogniser
from daemon.pipeline.recogniser import load_recogniser
from tests.helpers.format2_bundle import LOG_MEL, manifest, write_bundle

MS = 1_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with `scene`, `sound`, and two further encoders of sound: `quick`, which is pooled, and `long`."""
    encoders = manifest()["encoders"]
    sound, scene = encoders["sound"], encoders["scene"]
    quick = sound | {"preprocessing": LOG_MEL | {"stride_frames": 2}, "pool": {"seconds": 0.1, "of": ["max", "mean"]}}
    long = sound | {"preprocessing": LOG_MEL | {"stride_frames": 30}, "max_age_ms": 300}
    chosen = {"sound": sound, "quick": quick, "scene": scene, "long": long}
    directory = write_bundle(tmp_path_factory.mktemp("bundle") / "corner", encoders=chosen)
    weights = np.zeros((4, 1 + 3 + 5 + 1 + 4), np.float32)
    weights[2, 0] = 1
    head = write_head(weights, np.array([-2, -2, 2, 0], np.float32), [1, 3, 5, 1], "independent", 3)
    (directory / "head.tflite").write_bytes(head)
    return directory


@pytest.fixture(scope="module")
def moments(bundle: Path) -> list[Moment]:
    offline = OfflineRecogniser(load_recogniser(load_bundle(bundle)))
    selftest = bundle / SELFTEST_PREFIX
    return list(offline.moments(Item(image=selftest / "white.png", audio=selftest / "noise.wav")))


def test_each_patch_of_each_encoder_makes_a_moment_in_the_order_of_the_ends(moments: list[Moment]) -> None:
    times_ns = [moment.time_ns for moment in moments]
    assert times_ns == sorted(times_ns)
    # a patch lasts 102.5 ms, and as much silence comes before and after a second of noise
    ends = {
        name: sorted({moment.embeddings[name].end_ns // MS for moment in moments if name in moment.embeddings})
        for name in ("sound", "quick", "long")
    }
    assert [np.unique(np.diff(ends[name])).tolist() for name in ("sound", "quick", "long")] == [[50], [20], [300]]
    assert len(moments) == sum(len(each) for each in ends.values())
    names = [moment.embeddings.keys() - {"scene"} for moment in moments[:3]]
    assert names == [{"sound"}, {"sound", "quick"}, {"sound", "quick", "long"}], "of one time, in the order of the head"


def test_the_picture_is_in_every_moment_and_a_rare_patch_in_those_until_the_next(moments: list[Moment]) -> None:
    assert all("scene" in moment.embeddings for moment in moments)
    assert {round(moment.age_ns("long") / MS) for moment in moments[2:]} >= {0, 100, 280}
    assert max(moment.age_ns("long") for moment in moments[2:]) <= 300 * MS


def test_what_is_pooled_is_pooled_over_the_item(moments: list[Moment]) -> None:
    quick = {moment.embeddings["quick"].end_ns: moment.embeddings["quick"].vector for moment in moments[1:]}
    levels = [vector[0] for vector in quick.values()]
    for index, vector in enumerate(quick.values()):
        window = levels[max(0, index - 4) : index + 1]  # of 20 ms each, five lie within 100 ms
        np.testing.assert_allclose(vector, [levels[index], max(window), np.mean(window)], rtol=1e-5)


def test_the_moment_that_counts_has_the_highest_score_and_two_runs_are_the_same(bundle: Path) -> None:
    offline = OfflineRecogniser(load_recogniser(load_bundle(bundle)))
    item = Item(audio=bundle / SELFTEST_PREFIX / "noise.wav")
    first, second = (offline.recognise(item) for _ in range(2))
    assert first.moment.time_ns == second.moment.time_ns
    assert first.scores.tobytes() == second.scores.tobytes()
    assert offline.labels[int(first.scores.argmax())] == "loud"


def test_a_picture_alone_is_one_moment_of_all_encoders_of_pictures(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "corner")
    offline = OfflineRecogniser(load_recogniser(load_bundle(bundle)))
    (moment,) = offline.moments(Item(image=bundle / SELFTEST_PREFIX / "left.png"))
    assert set(moment.embeddings) == {"scene", "people"}
