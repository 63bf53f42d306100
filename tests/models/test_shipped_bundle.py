"""The shipped bundle's self-test, its size, and the files of the demo clip. docs/models.md has the figures on data."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from daemon.bundle.bundle import case_file, load_bundle, load_cases
from daemon.pipeline.heads import load_head
from daemon.pipeline.offline import Item, OfflineRecogniser
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.selftest import run_selftest
from tests.helpers.taught import on_streams, random_moment, teach

BUNDLE = Path(__file__).resolve().parents[2] / "models" / "digits"
DEMO = BUNDLE / "demo"
KINDS = {"both", "image", "audio", "text", "neither", "contradiction"}


@pytest.fixture(scope="module")
def recogniser() -> OfflineRecogniser:
    return OfflineRecogniser(load_recogniser(load_bundle(BUNDLE)))


def recognised(recogniser: OfflineRecogniser, item: Item) -> str:
    return recogniser.labels[int(np.argmax(recogniser.recognise(item).scores))]


def test_the_self_test_passes(recogniser: OfflineRecogniser) -> None:
    bundle = load_bundle(BUNDLE)
    for case, where in load_cases(bundle):
        image, audio = (case_file(bundle, name) if name else None for name in (case.image, case.audio))
        scores = recogniser.recognise(Item(image, audio, case.text)).scores
        for label, expected in case.scores.items():
            found = float(scores[recogniser.labels.index(label)])
            assert found == pytest.approx(expected, abs=bundle.manifest.selftest.tolerance), (where, label)


def test_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLE.glob("*.tflite")) < 600_000


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("room seven", "7"),
        ("7", "7"),
        ("sieben", "7"),
        ("七", "7"),
        ("salle trois", "3"),
        ("habitación nueve", "9"),
        ("number 17", "none"),
        ("close the door", "none"),
    ],
)
def test_text_in_several_languages(recogniser: OfflineRecogniser, text: str, label: str) -> None:
    assert recognised(recogniser, Item(text=text)) == label


def test_the_clip_matches_its_list_of_passages() -> None:
    passages = truth()
    assert {passage["kind"] for passage in passages} == KINDS
    assert {passage["label"] for passage in passages} - {None} == set("0123456789")
    for before, after in pairwise(passages):
        assert after["start_s"] - before["end_s"] >= 0.999
    with av.open(str(DEMO / "clip.mp4")) as clip:
        assert clip.duration is not None
        assert clip.duration / av.time_base >= passages[-1]["end_s"]
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height, video.average_rate) == ("h264", 640, 480, 30)
        assert (audio.codec_context.name, audio.layout.name) == ("aac", "mono")
    assert (DEMO / "clip.mp4").stat().st_size < 2_000_000


def test_the_lines_of_the_clip_are_recognised_as_its_list_says(recogniser: OfflineRecogniser) -> None:
    lines = yaml.safe_load((DEMO / "clip.text.yaml").read_text(encoding="utf-8"))["lines"]
    written = {passage["start_s"]: passage["text"] for passage in truth()}
    for line in lines:
        assert recognised(recogniser, Item(text=line["text"])) == (written[line["at_s"]] or "none")


def truth() -> list[dict[str, Any]]:
    passages: list[dict[str, Any]] = yaml.safe_load((DEMO / "clip.truth.yaml").read_text(encoding="utf-8"))["passages"]
    return passages


def test_digits_that_were_taught_more_keep_the_proportions_of_their_scores(tmp_path: Path) -> None:
    teach(
        BUNDLE,
        tmp_path / "taught",
        {"eleven": on_streams("desk"), "knock": on_streams("desk")},
        version="0.4.0+taught.1",
    )
    bundle, taught = load_bundle(BUNDLE), load_bundle(tmp_path / "taught")
    assert run_selftest(taught, load_recogniser(taught)) == []
    before, after = load_head(bundle), load_head(taught)
    for seed in range(50):
        moment = random_moment(bundle.manifest, seed, deviation=1)
        old, new = before.recognise(moment), after.recognise(moment)
        np.testing.assert_allclose(new.scores[:11] / new.scores[:11].sum(), old.scores, atol=1e-5)
        logits = new.bias + np.sum(list(new.shares.values()), axis=0)
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), new.scores, atol=1e-5)
