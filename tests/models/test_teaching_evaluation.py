"""scripts/evaluate-teaching measures taught labels by the daemon's own fit, head and events."""

import json
from pathlib import Path

import numpy as np
import pytest
from home_evaluation.material import Clip
from teaching_evaluation.__main__ import main
from teaching_evaluation.embedding import Clips, hear
from teaching_evaluation.garage import STATES, covered, garage
from teaching_evaluation.hush import LEVELS_DB, Hush
from teaching_evaluation.lessons import Moments, training_set
from teaching_evaluation.sounds import press, single_moments, told_apart
from teaching_evaluation.subject import Subject

from daemon.bundle.bundle import load_bundle
from daemon.cli.bundle_build import build_bundle
from daemon.core.records import Embedding, Moment
from daemon.pipeline.heads import load_head
from daemon.pipeline.taught_bundle import write_taught_bundle
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.home_data import RATE_HZ, TONES_HZ, write_home_bundle, write_home_data
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models/home/recipe.yaml"
# What a campaign holds to its targets.
HELD_PARTS = ("classes", "foreign", "place")

FOLDS = (1, 3, 4)
DAY_AND_NIGHT = (12.0, 23.0)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A small bundle, and few enough quiet rooms to stay in this process."""
    directory = tmp_path_factory.mktemp("teaching")
    return Subject(write_home_bundle(directory / "tones"), directory / "kept", rooms=32)


@pytest.fixture(scope="module")
def clips(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """A tone of each class in each fold."""
    data = write_home_data(tmp_path_factory.mktemp("shared")) / "datasets"
    paths = [data / "sounds" / name / f"{fold}-1-A.ogg" for name in TONES_HZ for fold in FOLDS]
    sounds = [Clip(path.parent.name, path) for path in paths]
    names, folds = [sound.name for sound in sounds], np.array(FOLDS * len(TONES_HZ))
    presses = hear(subject.bundle, sounds, 0.0, subject.folder, "presses")
    return Clips(names, paths, folds, presses, hear(subject.bundle, sounds, 2.0, subject.folder, "clips"))


@needs_shared
@pytest.mark.campaign("teaching")
def test_classes_that_sound_unlike_are_told_apart(subject: Subject, clips: Clips, tmp_path: Path) -> None:
    """By default tones, and in a campaign recordings with the bundle home, with the targets of the measurement."""
    if not IS_CAMPAIGN:
        assert told_apart(subject, clips, ["dog", "rain"], count=1, fold=1, seed=0) == 1
        return
    home, result = tmp_path / "home", tmp_path / "result.json"
    build_bundle(RECIPE, home, SHARED / "models", None, print)
    arguments = ["--bundle", str(home), "--cache", str(tmp_path / "kept"), "--json", str(result)]
    assert main([*arguments, "--shared", str(SHARED), "--part", *HELD_PARTS]) == 0
    parts = json.loads(result.read_text(encoding="utf-8"))["parts"]
    missed = [row["condition"] for part in parts.values() for row in part["rows"] if row["met"] is False]
    assert missed == []


def test_the_taught_head_of_the_daemon_scores_as_the_measurement_does(
    subject: Subject, clips: Clips, tmp_path: Path
) -> None:
    presses = {"our dog": [press(clips.presses, index) for index in clips.of("dog", FOLDS)]}
    judge = subject.judge(presses, single_moments(subject.hush[0].vectors[:, 0]), hours=24)
    cases = np.zeros((1, subject.manifest.head_input_size), np.float32)
    write_taught_bundle(subject.bundle, tmp_path / "taught", "1.2.3+taught.1", judge.fitted, cases)
    head = load_head(load_bundle(tmp_path / "taught"))
    for vector in clips.streamed.vectors[:, 5]:
        scores = head.recognise(Moment(0, {"sound": Embedding("sound", vector, 0, 0)})).scores
        expected = 1 / (1 + np.exp(-judge.logits({"sound": vector})))
        assert scores[len(subject.manifest.labels) :] == pytest.approx(expected, abs=1e-5)


def test_a_taught_sound_starts_and_quiet_rooms_do_not(subject: Subject, clips: Clips) -> None:
    presses = {"our dog": [press(clips.presses, index) for index in clips.of("dog", FOLDS)]}
    judge = subject.judge(presses, single_moments(subject.hush[0].vectors[:, 0]), hours=24)
    own = judge.starts(subject.sound_levels(judge, clips.streamed, clips.of("dog", FOLDS)))
    rooms = judge.starts(subject.sound_levels(judge, subject.hush[1], range(subject.rooms)))
    assert own.all()
    assert not rooms.any()


def test_embeddings_are_computed_once(subject: Subject, clips: Clips) -> None:
    rooms = [Hush(seed) for seed in range(2 * subject.rooms)]
    first = hear(subject.bundle, rooms, 0.0, subject.folder, "hush")
    before = {path: path.stat().st_mtime_ns for path in subject.folder.iterdir()}
    again = hear(subject.bundle, rooms, 0.0, subject.folder, "hush")
    assert len(again.vectors) == len(first.vectors)
    assert len(again.vectors) == 2 * subject.rooms
    assert {path: path.stat().st_mtime_ns for path in subject.folder.iterdir()} == before


def test_a_training_set_has_the_encoders_that_it_is_to_know(subject: Subject) -> None:
    shown = Moments([0, 500], {"sound": np.zeros((2, 2), np.float32)})
    training = training_set(subject.manifest, {"door: open": [shown]}, [], hours=0, encoders=["sound"])
    assert list(training.sizes) == ["sound"]
    assert [label.state_of for label in training.labels] == ["door"]
    assert [moment.time_ms for moment in training.examples[0].moments] == [0, 500]


def test_rooms_are_as_quiet_as_they_are_meant_to_be() -> None:
    for seed in range(6):
        level_db = 20 * np.log10(np.std(Hush(seed).samples(RATE_HZ)))
        assert LEVELS_DB[0] - 0.1 <= level_db <= LEVELS_DB[1] + 0.1


@pytest.mark.parametrize("hour", DAY_AND_NIGHT)
def test_the_states_of_the_garage_look_different(hour: float) -> None:
    doors = [garage(state, hour, np.random.default_rng(1))[110:190, 110:210].mean() for state in STATES]
    # the lower the door, the brighter
    assert doors == sorted(doors)
    assert min(np.diff(doors)) > 5


def test_a_garage_has_colours_by_day_alone() -> None:
    by_day, by_night = (garage("open", hour, np.random.default_rng(2)).astype(float) for hour in DAY_AND_NIGHT)
    assert np.abs(by_day[..., 0] - by_day[..., 2]).mean() > 20
    assert abs((by_night[..., 0] - by_night[..., 2]).mean()) < 1
    assert covered(np.random.default_rng(3)).std() < 20


def test_a_folder_without_data_sets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "home", "--shared", str(tmp_path)]) == 1
    assert f"no data sets in {tmp_path / 'datasets'}" in capsys.readouterr().err


def test_no_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--bundle", "home", "--seeds", "0"])
    assert "expected a whole number from 1 up" in capsys.readouterr().err
