"""Writes the recipe of home-coral, the variant of home for a Coral Edge TPU: `cd scripts && python -m home_coral`.

The variant hears what home hears, with the same groups and numbers. It has no label that is only seen: of MobileNetV1
there is a model for the Edge TPU that gives an embedding, and no classes.
"""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
HOME, CORAL = (ROOT / "models" / name / "recipe.yaml" for name in ("home", "home-coral"))
HOME_CARD, CORAL_CARD = (recipe.parent / "card.yaml" for recipe in (HOME, CORAL))
HOME_CASES, CORAL_CASES = (recipe.parent / "selftest" / "cases.yaml" for recipe in (HOME, CORAL))

# a picture of home's self-test; the files of the cases are links to those of home
PICTURE = "room.png"

HEADER = """\
# The recipe of `home-coral`: the sounds of home, by encoders that a Coral Edge TPU runs.
# scripts/home_coral.py writes this file. It takes groups and numbers from models/home/recipe.yaml: change them there.
# docs/models.md says what the bundle recognises, and docs/accelerators.md what runs on which device.
"""

CARD_HEADER = """\
# What the ML-BOM of home-coral says beyond the recipe. scripts/home_coral.py writes this file.
"""

RAW = "https://raw.githubusercontent.com/google-coral"
TEST_DATA = "test_data/104342d2d3480b3e66203073dac24f4e2dbb4c41"
EXTRACTOR = f"{TEST_DATA}/mobilenet_v1_1.0_224_quant_embedding_extractor"


def main() -> None:
    """Write the recipe, the cases of its self-test, and the model card."""
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")


def texts() -> dict[Path, str]:
    """The files that are made of home's, with their content."""
    paths = (HOME, HOME_CASES, HOME_CARD)
    home, home_cases, home_card = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths)
    return {
        CORAL: HEADER + _yaml(variant(home)),
        CORAL_CASES: _yaml({"cases": cases(home, home_cases["cases"])}),
        CORAL_CARD: CARD_HEADER + _yaml(card(home_card)),
    }


def variant(home: dict[str, Any]) -> dict[str, Any]:
    """The recipe of home-coral; `home` is that of home."""
    sound, scene = home["encoders"]["sound"], home["encoders"]["scene"]
    return {
        "recipe": home["recipe"],
        "name": "home-coral",
        "version": home["version"],
        "description": "The sounds of a home and its yard, by encoders that a Coral Edge TPU runs.",
        "scoring": home["scoring"],
        "sources": {
            "yamnet": home["sources"]["yamnet"],
            "yamnet_edgetpu": _source(
                "coralmicro/main/models/yamnet_spectra_in_edgetpu.tflite",
                "b6360df2ae0bbc3c8a1d7e608f9f763c3dfe590df8447f1fab7736ad56897f6e",
                4_137_888,
            ),
            "mobilenet_v1": _source(
                f"{EXTRACTOR}.tflite", "f409ef4f73fcbb9667841965623c5c8524aac33d41b9bf5f3667161fb4a76319", 3_251_736
            ),
            "mobilenet_v1_edgetpu": _source(
                f"{EXTRACTOR}_edgetpu.tflite",
                "33a249155302975d7e28f72a5250903cdf7f7afb7bd1ceec3d2cd8ca9ce6a609",
                3_486_336,
            ),
        },
        "groups": {"sounds": home["groups"]["sounds"]},
        "models": {
            "sound.tflite": home["models"]["sound.tflite"],
            "sound_edgetpu.tflite": {"source": "yamnet_edgetpu", "outputs": {"groups": {"group": "sounds"}}},
            "scene.tflite": {"source": "mobilenet_v1", "outputs": {"embedding": {}}},
            "scene_edgetpu.tflite": {"source": "mobilenet_v1_edgetpu", "outputs": {"embedding": {}}},
        },
        "encoders": {
            "sound": {**sound, "edgetpu": {"model": "sound_edgetpu.tflite", "outputs": ["groups"]}},
            "scene": {
                "modality": "image",
                "model": "scene.tflite",
                "edgetpu": {"model": "scene_edgetpu.tflite"},
                "preprocessing": {"colour": "rgb", "fit": "stretch", "resize": "area", "mean": 128, "std": 128},
                "max_age_ms": scene["max_age_ms"],
                "rate_hz": scene["rate_hz"],
            },
        },
        "labels": {label: kept for label, about in home["labels"].items() if (kept := _heard(about)) is not None},
        **{key: home[key] for key in ("threshold", "temperature", "head", "selftest", "licences")},
    }


def card(home: dict[str, Any]) -> dict[str, Any]:
    """The model card: purpose and data of what is heard. Nothing was measured on an Edge TPU."""
    limits = ["On an Edge TPU nothing was measured. On the CPU sounds score as in home.", *home["limits"][:-1]]
    heard = [data for data in home["data"] if "sound.tflite" in data.get("models", ())]
    heard[0] = {**heard[0], "models": [*heard[0]["models"], "sound_edgetpu.tflite"]}
    seen = {**heard[0], "name": "ImageNet", "used_for": "training of MobileNetV1, by its makers"}
    seen["models"] = ["scene.tflite", "scene_edgetpu.tflite"]
    own = [data for data in home["data"] if data.get("models") == ["head.tflite"]]
    return {"purpose": home["purpose"], "limits": limits, "data": [*heard, seen, *own]}


def cases(home: dict[str, Any], home_cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cases of the self-test: each sound of home's with the labels that are only heard, and a picture."""
    heard = {label for label, about in home["labels"].items() if about.get("info", {}).get("kind") == "sound"}
    sounds = {case["audio"]: case["scores"] for case in home_cases if "audio" in case}
    return [
        {"image": PICTURE, "scores": {"none": 1.0}},
        *(
            {"audio": audio, "scores": {label: score for label, score in scores.items() if label in heard}}
            for audio, scores in sounds.items()
        ),
    ]


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes lists in one line where there is room. A recipe has no aliases for objects that appear twice."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_list(self, data: list[object]) -> yaml.Node:
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _Dumper.represent_list)


def _source(path: str, sha256: str, size: int) -> dict[str, Any]:
    """A file of Coral's repositories; `path` begins with the repository and its branch or commit."""
    page = f"https://github.com/google-coral/{path.partition('/')[0]}"
    return {"from": [{"url": f"{RAW}/{path}"}], "sha256": sha256, "size": size, "licence": "Apache-2.0", "page": page}


def _heard(about: dict[str, Any]) -> dict[str, Any] | None:
    """What home says of a label, with the evidence of sound alone; None for a label that is only seen."""
    if about.get("background"):
        return about
    evidence = {key: value for key, value in about["evidence"].items() if key.startswith("sound.")}
    return {**about, "info": {**about["info"], "kind": "sound"}, "evidence": evidence} if evidence else None


if __name__ == "__main__":
    main()
