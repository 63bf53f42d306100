"""A model on the CPU gives what its manifest says, for every input."""

from pathlib import Path

import pytest

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import ModelError
from daemon.core.sealed import SealedFile
from daemon.inference.interpreter import TfliteModel
from tests.helpers.hostile_models import FRAME, sized_by_its_input


def test_an_output_whose_shape_depends_on_the_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tflite"
    path.write_bytes(sized_by_its_input())
    output = TensorSpec(shape=[1, 2], dtype="float32")
    model = TfliteModel(SealedFile(path), TensorSpec(shape=FRAME, dtype="float32"), [output])
    for value, size in ((1.0, 2), (0.0, 102), (1.0, 2)):
        model.input[...] = value
        if size == 2:
            assert [found.tolist() for found in model.invoke()] == [[[1.0, 1.0]]]
            continue
        with pytest.raises(ModelError, match=r"gave an output of shape \[1, 102\], expected \[1, 2\] for every input"):
            model.invoke()
