"""scripts/evaluate-home measures through the daemon's streaming code, and reports tables and JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.stream_events import events_of
from home_evaluation.__main__ import main
from home_evaluation.material import Clip
from home_evaluation.midi import NEEDED, rendered
from home_evaluation.music import BARS, BEATS_A_BAR, compose
from home_evaluation.outcome import loaded, outcome_of, track
from home_evaluation.scenes import Scene, Sight

from daemon.config.streams import EventsConfig
from daemon.core.records import Embedding, Moment, Recognition
from daemon.pipeline.recogniser import event_settings
from tests.helpers.home_data import CLIP_S, LABELS, RATE_HZ, write_home_bundle, write_home_data
from tests.shared import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "digits"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_home_data(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_home_bundle(tmp_path_factory.mktemp("bundles") / "tones")


def evaluate(bundle: Path, shared: Path, *arguments: str) -> dict:
    target = shared / "result.json"
    command = ["--bundle", str(bundle), "--shared", str(shared), "--json", str(target), *arguments]
    assert main(command) == 0
    document = json.loads(target.read_text(encoding="utf-8"))
    assert document["bundle"] == "tones@1.2.3"
    return document["parts"]


def measured(part: dict, condition: str) -> float:
    (value,) = [row["value"] for row in part["rows"] if condition in row["condition"]]
    return value


def test_sounds_and_sights_of_a_small_bundle_are_measured(
    bundle: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = evaluate(bundle, shared, "--part", "sounds", "sights", "people")
    assert list(parts) == ["sounds", "sights"]
    sounds, sights = parts["sounds"], parts["sights"]
    # of the cat nothing is heard
    cat, dog, rain = sounds["tables"]["Sounds by class"]
    for name, row in (("dog", dog), ("rain", rain)):
        # folds 3 and 4, not 1
        assert (row["class"], row["clips"], row["AUROC"]) == (name, 2, 1)
        assert row["own event, %"] == row["found at 1 % false, %"] == row["top-1, %"] == 100
    assert (cat["own event, %"], cat["false event, %"]) == (0, 0)
    assert measured(sounds, "own event") == pytest.approx(200 / 3)
    assert measured(sounds, "a false event") == 0
    assert sights["tables"]["Sights by label"][0]["own event, %"] == 100
    output = capsys.readouterr()
    assert "| sounds | shipped thresholds: own event | 66.67 % | 6 |" in output.out
    assert "people: left out, because there is no label person in the bundle" in output.err


def test_mixtures_are_measured_at_both_kinds_of_thresholds(bundle: Path, shared: Path) -> None:
    mixtures = evaluate(bundle, shared, "--part", "mixtures", "--every", "40")["mixtures"]
    (table,) = mixtures["tables"].values()
    rows = {row["class"]: row for row in table}
    # the tones of dog and rain lie in different bands, so neither hides the other
    assert all(rows[name]["0 dB, %"] == rows[name]["alone, %"] == 100 for name in ("dog", "rain"))
    conditions = [row["condition"] for row in mixtures["rows"]]
    assert [c.partition(";")[0] for c in conditions[::3]] == [
        *("1 % of foreign clips", "exclusive, 1 % of foreign clips", "shipped thresholds", "shipped thresholds")
    ]
    # five pairs: two sounds of each, and each the softer one once
    assert [row["count"] for row in mixtures["rows"]] == [10] * 9 + [5]


def test_hours_of_speech_music_and_noise_are_measured(bundle: Path, shared: Path) -> None:
    hours = evaluate(bundle, shared, "--part", "hours", "--hours", "0.005")["hours"]
    # the bundle has none of the labels of alarms
    assert [row["condition"].partition(":")[0] for row in hours["rows"]] == [
        *("0.01 h of speech", "0.01 h of music", "0.01 h of household")
    ]
    assert measured(hours, "household") == 0


def test_things_seen_and_heard_in_the_dark_and_in_rain_are_measured(bundle: Path, shared: Path) -> None:
    # one pair of its own, and eight that are foreign to it or not
    fused = evaluate(bundle, shared, "--part", "fused", "--every", "50")["fused"]
    (row,) = fused["tables"]["Things seen and heard in the dark and in rain, found at 1 % false"]
    assert (row["label"], row["pairs"]) == ("dog", 1)
    assert row["both, %"] == row["no picture, %"] == row["sound alone, %"] == 100


def test_a_folder_without_data_sets_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bundle", str(bundle), "--shared", str(tmp_path)]) == 1
    assert f"no data sets in {tmp_path / 'datasets'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--every", "0"], "expected a whole number from 1 up"),
        (["--hours", "0"], "expected a number above 0"),
        (["--hours", "nan"], "expected a number above 0"),
        (["--folds", "5"], "invalid choice: 5"),
    ],
)
def test_impossible_options_are_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--bundle", "home", *arguments])
    assert expected in capsys.readouterr().err


def test_a_result_that_could_not_be_written_is_refused_at_once(
    bundle: Path, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "none" / "result.json"
    assert main(["--bundle", str(bundle), "--shared", str(shared), "--json", str(target)]) == 1
    assert f"{target.parent} is not a folder" in capsys.readouterr().err


def test_events_start_where_the_start_level_reaches_the_threshold(bundle: Path, shared: Path) -> None:
    settings = event_settings(loaded(bundle).bundle.manifest, EventsConfig(), "s")
    clip, sight = shared / "datasets" / "sounds" / "dog" / "3-1-A.ogg", shared / "datasets" / "pictures" / "dog.jpg"
    for scene in (
        Scene(Clip("dog", clip), around_s=1.0),
        Scene(sight=Sight(sight, 2.0)),
        Scene(Clip("dog", clip), Sight(sight, CLIP_S, light=0.2, noise=2.0)),
    ):
        outcome = outcome_of(bundle, scene)
        reached = {label for label, level in zip(LABELS, outcome.levels, strict=True) if level >= settings.start[0]}
        assert outcome.labels == reached - {"none"} == {"dog"}


def test_the_levels_of_the_shipped_digits_agree_with_their_events() -> None:
    digits = loaded(DIGITS).bundle.manifest
    settings = event_settings(digits, EventsConfig(), "s")
    seen = set()
    for name in ("seven", "five"):
        scene = Scene(Clip(name, DIGITS / "selftest" / f"{name}.wav"), around_s=1.0)
        outcome = outcome_of(DIGITS, scene)
        reached = np.flatnonzero((outcome.levels >= settings.start) & np.array(settings.makes_events))
        assert outcome.labels == {digits.labels[index] for index in reached}
        assert outcome.labels == {event.label for event in events_of(loaded(DIGITS), scene.captured(RATE_HZ))}
        # the digits exclude each other already
        assert outcome.exclusive == pytest.approx(outcome.levels, abs=1e-9)
        seen |= outcome.labels
    assert seen == {"7", "5"}


def test_scores_are_told_by_one_sense_and_as_if_the_labels_excluded_each_other(bundle: Path) -> None:
    manifest = loaded(bundle).bundle.manifest
    embeddings = {name: Embedding(name, np.zeros(1, np.float32), 0, 10) for name in ("scene", "sound")}
    # above the logit of the background label, which is last
    bias, scene, sound = np.log([[1, 2, 1, 1], [3, 1, 1, 1], [1, 8, 1, 1]]).astype(np.float32)
    scores = np.array([3 / 4, 16 / 17, 1 / 2, 1 / 17], np.float32)
    recognition = Recognition(Moment(20, embeddings), scores, bias, {"scene": scene, "sound": sound})
    assert track([recognition], manifest, None).scores == pytest.approx(scores[np.newaxis])
    assert track([recognition], manifest, ["scene"]).scores[0][:3] == pytest.approx([3 / 4, 2 / 3, 1 / 2])
    assert track([recognition], manifest, ["sound"]).scores[0][:3] == pytest.approx([1 / 2, 16 / 17, 1 / 2])
    assert track([recognition], manifest, None, exclusive=True).scores[0] * 21 == pytest.approx([3, 16, 1, 1])
    # the moment lasts until its last embedding has expired
    assert track([recognition], manifest, None).until_ns.tolist() == [10 + 500_000_000 + 1]


def test_a_tune_is_rendered_to_its_end() -> None:
    tune = compose(np.random.default_rng(2), [0, 40, 32])
    samples, length_s = rendered(tune, RATE_HZ), 60 * BARS * BEATS_A_BAR / tune.beats_a_minute
    assert length_s < len(samples) / RATE_HZ < length_s + 10
    for part in np.array_split(samples[: round(length_s * RATE_HZ)], BARS):
        assert np.abs(part).max() > 0.01


def test_music_without_its_renderer_is_refused(
    bundle: Path, shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["--bundle", str(bundle), "--shared", str(shared), "--part", "hours"]) == 1
    assert f"fluidsynth was not found; {NEEDED}" in capsys.readouterr().err


@needs_shared
def test_clips_of_the_data_set_are_streamed(bundle: Path, tmp_path: Path) -> None:
    sounds = evaluate(bundle, _with_result(SHARED, tmp_path), "--part", "sounds", "--every", "8")["sounds"]
    rows = sounds["tables"]["Sounds by class"]
    assert [(row["class"], row["clips"]) for row in rows] == [("cat", 2), ("dog", 2), ("rain", 2)]


def _with_result(shared: Path, directory: Path) -> Path:
    """Return a folder with the data sets of `shared` into which a result can be written."""
    (directory / "datasets").symlink_to(shared / "datasets")
    return directory
