"""docs/own-models.md leads from somebody else's encoder to a bundle that recognises, by what the page says alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from daemon.bundle.manifest import Manifest
from daemon.core.document import parse_document
from daemon.recipes.recipe import Recipe
from daemon.recipes.rules import check_recipe
from tests.docs.pages import DOCS, ROOT, block
from tests.shared import SHARED, needs_shared

PAGE = "own-models.md"
COLOURS = {"red": (30, 30, 230), "green": (40, 200, 40), "off": (45, 45, 45)}
RECIPES = re.findall(
    r"^```yaml\n(recipe: 1\n.*?)^```$", (DOCS / PAGE).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def draw_lamps(directory: Path, count: int) -> None:
    """Draw lamps of each colour, at different places and under different light."""
    random = np.random.default_rng(3)
    for label, colour in COLOURS.items():
        (directory / label).mkdir(parents=True)
        for number in range(count):
            picture = np.full((240, 320, 3), random.integers(60, 180), np.uint8)
            centre = (int(random.integers(120, 200)), int(random.integers(90, 150)))
            cv2.circle(picture, centre, int(random.integers(50, 70)), (20, 20, 20), -1)
            cv2.circle(picture, centre, int(random.integers(38, 48)), colour, -1)
            cv2.imwrite(str(directory / label / f"{number}.png"), picture)


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("text", RECIPES, ids=range(len(RECIPES)))
def test_the_recipes_of_the_page_are_valid(text: str) -> None:
    loaded = parse_document(Path(PAGE), text.encode(), Recipe)
    check_recipe(loaded, has_head_file=loaded.document.head is None)


def test_the_manifest_and_the_head_of_the_page_fit_together(tmp_path: Path) -> None:
    loaded = parse_document(Path("bundle.yaml"), block(PAGE, "format: 2\nname: lamp").encode(), Manifest)
    (spec,) = loaded.document.encoder_specs.values()
    (tmp_path / "lamp").mkdir()
    (tmp_path / "head.py").write_text(block(PAGE, '"""Writes head.tflite'))
    run(tmp_path, "head.py")
    head = Interpreter(str(tmp_path / "lamp" / "head.tflite"))
    shapes = [tuple(detail["shape"]) for detail in (*head.get_input_details(), *head.get_output_details())]
    labels = len(loaded.document.labels)
    assert sorted(shapes) == sorted([(1, spec.size + 1), (1, labels), (1, 1, labels)])


@needs_shared
def test_a_newcomer_makes_a_bundle_of_somebody_elses_encoder(tmp_path: Path) -> None:
    recipe = RECIPES[0]
    file = re.search(r"/([^/]+\.tflite)\"", recipe)
    assert file is not None
    lamp = tmp_path / "lamp"
    draw_lamps(lamp / "pictures", 16)
    shutil.copy(SHARED / "models" / file[1], lamp / file[1])
    (lamp / "recipe.yaml").write_text(recipe)
    (lamp / "fit.py").write_text(block(PAGE, '"""Fits a head on pictures/LABEL/*.'))
    assert "right: 100% of those fitted, 100% of the others" in run(tmp_path, "lamp/fit.py")
    build = "-m daemon bundle build lamp/recipe.yaml --out lamp-bundle --head lamp/head.npz --from lamp"
    assert build.removeprefix("-m daemon ") in (DOCS / PAGE).read_text(encoding="utf-8")
    printed = run(tmp_path, *build.split())
    assert printed.startswith("lamp@0.1.0: built in lamp-bundle, self-test good\nlicence     mobilenet: Apache-2.0")
    evaluated = run(tmp_path, "-m", "daemon", "evaluate", "lamp-bundle", "lamp/test.csv")
    assert evaluated.startswith("accuracy 100.00% of 12")
