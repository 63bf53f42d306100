"""The parts of a bundle are checked against each other; a mismatch is reported with file, line and key."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from benchmarks.bundles import build_real_bundle

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import LabelInfo
from daemon.cli.main import main
from daemon.config.devices import DevicesConfig
from daemon.core.errors import Refused
from daemon.encoders.audio import Patch
from daemon.inference.graphs import write_head
from daemon.inference.placement import Machine, edgetpu
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import load_recogniser
from tests.helpers.bundle_builder import SIDE, manifest, write_bundle, write_encoder
from tests.helpers.mosquitto import wait_until
from tests.shared import SHARED, needs_shared


def refusal(directory: Path) -> str:
    with pytest.raises(Refused) as caught:
        load_recogniser(load_bundle(directory))
    return str(caught.value).replace(str(directory), "DIR")


def line_of(directory: Path, text: str) -> int:
    lines = (directory / "bundle.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def with_image(**changes: object) -> dict:
    image = manifest()["modalities"]["image"]
    return {"modalities": {"image": {**image, **changes}}}


def test_a_good_bundle_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    assert main(["bundle", "verify", str(bundle)]) == 0
    assert capsys.readouterr().out == "brightness@1.2.3: good\n"
    assert main(["bundle", "show", str(bundle)]) == 0
    assert "labels      dark, bright, nothing" in capsys.readouterr().out


def test_a_failed_selftest_is_reported_with_its_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cases = bundle / "selftest" / "cases.yaml"
    cases.write_text(cases.read_text().replace("bright", "dark"))
    assert main(["bundle", "verify", str(bundle)]) == 78
    expected = f"{cases}:2: cases.0: dark scored 0.000, expected 1.000 within 0.05"
    assert capsys.readouterr().err == expected + "\n"
    assert main(["bundle", "verify", str(bundle), "--json"]) == 78
    assert json.loads(capsys.readouterr().out) == {"bundle": "brightness@1.2.3", "good": False, "failures": [expected]}


def test_an_unreadable_selftest_input_is_reported_with_its_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "selftest" / "white.png").write_bytes(b"no picture")
    assert main(["bundle", "verify", str(bundle)]) == 78
    assert "cases.yaml:2: cases.0: " in (shown := capsys.readouterr().err)
    assert "white.png: not a picture that can be decoded" in shown


def test_scores_that_are_no_numbers_fail_the_selftest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    encoder = np.full((2, SIDE * SIDE + 1), np.nan, np.float32)
    (bundle / "image.tflite").write_bytes(write_encoder(encoder, [1, SIDE, SIDE, 1]))
    assert main(["bundle", "verify", str(bundle)]) == 78
    assert "bright scored nan, expected 1.000 within 0.05" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        (
            with_image(input={"shape": [1, 5, 5, 1], "dtype": "float32"}),
            "modalities.image.input.shape",
            "image.tflite has an input of shape [1, 4, 4, 1], expected [1, 5, 5, 1]",
        ),
        (
            with_image(input={"shape": [1, 4, 4, 1], "dtype": "uint8", "scale": 0.1, "zero_point": 0}),
            "modalities.image.input.dtype",
            "image.tflite has an input of float32, expected uint8",
        ),
        (
            with_image(output={"shape": [1, 3], "dtype": "float32"}),
            "modalities.image.output.shape",
            "image.tflite has an output of shape [1, 2], expected [1, 3]",
        ),
        (with_image(model="none.tflite"), "modalities.image.model", "no file none.tflite in DIR"),
        (
            {"labels": ["dark", "bright", "nothing", "else"]},
            "labels",
            "4 labels do not match the head: "
            "head.tflite has outputs of shape [1, 3] and [1, 1, 3], expected one of [1, 4]",
        ),
    ],
)
def test_a_mismatch_is_reported(tmp_path: Path, changes: dict, key: str, message: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", **changes)
    line = line_of(bundle, f"{key.rpartition('.')[2]}:")
    if key.startswith("modalities.image.output"):
        line = next(n for n in range(line_of(bundle, "output:"), 99) if "shape" in _line(bundle, n))
    assert refusal(bundle) == f"DIR/bundle.yaml:{line}: {key}: {message}"


def _line(directory: Path, number: int) -> str:
    return (directory / "bundle.yaml").read_text().splitlines()[number - 1]


def test_a_head_for_other_embeddings_is_reported(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    weights = np.zeros((3, 6), np.float32)
    (bundle / "head.tflite").write_bytes(write_head(weights, np.zeros(3, np.float32), [5]))
    message = refusal(bundle)
    assert message.startswith(f"DIR/bundle.yaml:{line_of(bundle, 'modalities:')}: modalities: embeddings of 2 of image")
    assert "head.tflite has an input of shape [1, 6], expected [1, 3]" in message


@needs_shared
def test_a_model_with_an_operator_the_runtime_lacks_is_reported(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    shutil.copyfile(SHARED / "models" / "model_invoking_error.tflite", bundle / "image.tflite")
    message = refusal(bundle)
    assert message.startswith(f"DIR/bundle.yaml:{line_of(bundle, 'model: image')}: modalities.image.model: ")
    assert "fake-op-double" in message


@pytest.mark.parametrize("raw", [b"", b"not a model", b"\x00" * 64, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 100])
def test_an_invalid_model_is_refused(tmp_path: Path, raw: bytes) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "image.tflite").write_bytes(raw)
    assert "cannot be loaded" in refusal(bundle)


def test_files_outside_the_bundle_cannot_be_named(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", head={"model": "../head.tflite"})
    assert "expected the plain name of a file in the bundle's directory" in refusal(bundle)


GOOD_INFO = {
    "names": {"de": "Hell", "no": "Lys", "zh-Hans": "亮"},
    "kind": "both",
    "device_class": "light",
    "icon": "mdi:white-balance-sunny",
    "shown": True,
}


def test_label_info_is_read_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle", label_info={"bright": GOOD_INFO, "dark": {}})
    info = load_bundle(bundle).manifest.label_info
    assert info == {"bright": LabelInfo.model_validate(GOOD_INFO), "dark": LabelInfo()}
    assert main(["bundle", "show", str(bundle)]) == 0
    assert "label info  for 2 labels; shown in Home Assistant: bright\n" in capsys.readouterr().out
    assert main(["bundle", "verify", str(bundle)]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{brigt: {}}", "label_info name labels that are not in labels: ['brigt']"),
        ("{1: {}}", "label_info.1: a name must be a text; put a number, yes or no in quotes"),
        ("{bright: {names: {no: Lys}}}", 'found the language false; put no, the code of Norwegian, in quotes: "no"'),
        ("{bright: {names: {German: Hell}}}", "expected the code of a language such as de or pt-BR, found 'German'"),
        ('{bright: {names: {de: "a\\nb"}}}', "expected printable text without spaces around it"),
        (f"{{bright: {{names: {{de: {65 * 'a'}}}}}}}", "string should have at most 64 characters"),
        ("{bright: {kind: smell}}", "label_info.bright.kind = 'smell': expected 'sound', 'sight' or 'both'"),
        ("{bright: {icon: sun}}", "label_info.bright.icon = 'sun': string should match pattern '^mdi:"),
        ("{bright: {device_class: a b}}", "label_info.bright.device_class = 'a b': string should match pattern"),
        ("{bright: {shown: 1}}", "label_info.bright.shown = 1: expected a valid boolean"),
        ("{bright: {name: x}}", "label_info.bright.name: unknown key; did you mean 'names'?"),
    ],
)
def test_wrong_label_info_is_reported(tmp_path: Path, text: str, message: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    path = bundle / "bundle.yaml"
    path.write_text(f"{path.read_text()}label_info: {text}\n")
    assert message in refusal(bundle)


def test_a_missing_bundle_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": "n", "bundle": "nothing", "streams": {"s": {}}}))
    assert main(["check-config", str(config)]) == 78
    assert f"{tmp_path}/nothing: no such directory; expected a bundle there" in capsys.readouterr().err


def test_thresholds_of_unknown_labels_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle")
    events = {"thresholds": {"light": {"start": 0.5, "end": 0.4}}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": "n", "bundle": "bundle", "streams": {"s": {"events": events}}}))
    assert main(["check-config", str(config)]) == 78
    expected = f"{config}:7: streams.s.events.thresholds.light: brightness@1.2.3 makes no event of it; expected one of "
    assert capsys.readouterr().err == expected + "dark, bright\n"


def test_a_keep_alive_that_comes_too_late_for_the_bundle_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bundle(tmp_path / "bundle")
    gates = {"motion": {"keep_alive_s": 0.75}, "sound": {"keep_alive_s": 99.0}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": "n", "bundle": "bundle", "streams": {"s": {"gates": gates}}}))
    assert main(["check-config", str(config)]) == 78
    expected = f"{config}:7: streams.s.gates.motion.keep_alive_s = 0.75: brightness@1.2.3 expects less than 0.5, "
    assert capsys.readouterr().err == expected + "its max_age of pictures\n"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"replay": {"file": "clip.mp4", "text": "none.yaml"}}, "none.yaml: cannot be read: No such file or directory"),
        ({"microphone": "default"}, "streams.s: captures nothing that the bundle brightness@1.2.3 uses"),
    ],
)
def test_check_config_refuses_what_run_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stream: dict, message: str
) -> None:
    write_bundle(tmp_path / "bundle")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"node": "n", "bundle": "bundle", "streams": {"s": stream}}))
    assert main(["check-config", str(config)]) == 78
    assert message in capsys.readouterr().err


def test_a_file_for_an_edge_tpu_that_is_missing_is_reported(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", **with_image(edgetpu="image_edgetpu.tflite"))
    line = line_of(bundle, "edgetpu:")
    assert refusal(bundle) == f"DIR/bundle.yaml:{line}: modalities.image.edgetpu: no file image_edgetpu.tflite in DIR"


@needs_shared
def test_a_model_for_an_edge_tpu_only_is_reported_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    shutil.copyfile(SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite", bundle / "image.tflite")
    assert main(["bundle", "verify", str(bundle)]) == 78
    message = capsys.readouterr().err
    assert f"bundle.yaml:{line_of(bundle, 'model: image.tflite')}: modalities.image.model: " in message
    assert "is compiled for an Edge TPU (operator edgetpu-custom-op), so the CPU cannot run it" in message
    assert "the model that it was compiled from is missing: name that model here" in message


@needs_shared
def test_a_model_for_an_edge_tpu_beside_its_cpu_model_runs_on_the_cpu_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    build_real_bundle(SHARED / "models", bundle)
    shutil.copyfile(SHARED / "models" / "yamnet_spectra_in_edgetpu.tflite", bundle / "edgetpu.tflite")
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["modalities"]["audio"]["edgetpu"] = "edgetpu.tflite"
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    assert main(["bundle", "show", str(bundle)]) == 0
    assert "; for an Edge TPU edgetpu.tflite" in capsys.readouterr().out
    recogniser = accelerate(load_recogniser(load_bundle(bundle)), DevicesConfig(default="edgetpu"), Machine())
    assert {name: place.device for name, place in recogniser.placements.items()} == {
        "image": None,
        "audio": edgetpu("usb:0"),
    }
    (accelerator,) = recogniser.accelerators
    accelerator.start()
    wait_until(lambda: accelerator.status.state == "absent", "it is not there")
    embedding = recogniser.encoders["audio"].encode(Patch(np.zeros((96, 64), np.float32), 0, 1))
    assert (embedding.device, embedding.vector.shape) == ("cpu", (521,))
    assert "no USB device" in (accelerator.status.reason or "")
    assert accelerator.status.starts == 0
    assert accelerator.close(5)
