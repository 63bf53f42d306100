"""What runs in the child process that makes the models of a bundle: edits, and a first load of each.

The sources are verified, but the runtime follows whatever a graph says. So no graph is read in the parent.
"""

import errno
import os
from pathlib import Path
from typing import Literal

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.document import StrictModel
from daemon.core.errors import MismatchError, ModelError, Refused
from daemon.core.sealed import SealedFile
from daemon.inference.compact_weights import compact_weights
from daemon.inference.edits import Edit, edit_model
from daemon.inference.interpreter import open_interpreter
from daemon.inference.model_file import input_spec, is_compiled_for_edgetpu, output_spec, read_model
from daemon.runtime.child_main import MB, confine

# the objects of a model take some multiples of its bytes, and the runtime its arena
MEMORY_MB = 1024
MEMORY_PER_BYTE = 8
PROCESSOR_S = 120.0

# the parent waits longer than the processor time, because the machine may be busy
DEADLINE_S = 300.0


class ModelRequest(StrictModel):
    """One model to make: the descriptor of its source, the file to write, its outputs; None: those of the source.

    `weights` is the type in which its large float weights are stored; None: as in the source.
    """

    source: int
    target: str
    weights: Literal["int8"] | None = None
    edits: dict[str, Edit] | None


class EditRequest(StrictModel):
    """The models to make, by name. `only_output` is the name of the output of a model that is not edited."""

    models: dict[str, ModelRequest]
    only_output: str


class MadeModel(StrictModel):
    """The tensors of a model that was made, as a manifest has them."""

    input: TensorSpec
    outputs: dict[str, TensorSpec]
    is_for_edgetpu: bool


class EditProblem(StrictModel):
    """Why a model cannot be made. `key` begins with the model, and may go on with an output and a group."""

    reason: str
    key: tuple[str, ...]


class EditAnswer(StrictModel):
    """What the child prints: all models, the first problem, or the number of the error that writing has met."""

    models: dict[str, MadeModel] = {}
    problem: EditProblem | None = None
    disk_error: int | None = None


def make_models(request_json: str) -> None:
    """In a child process: make the models of an EditRequest, and print an EditAnswer."""
    request = EditRequest.model_validate_json(request_json)
    sizes = [os.fstat(model.source).st_size for model in request.models.values()]
    memory_mb = MEMORY_MB + MEMORY_PER_BYTE * max(sizes, default=0) // MB
    # an edited model is little larger than its source
    confine(memory_mb, PROCESSOR_S, 2 * max(sizes, default=0) + MB)
    print(_answer(request).model_dump_json())  # noqa: T201  (the parent reads it)


def _answer(request: EditRequest) -> EditAnswer:
    made = {}
    for name, model in request.models.items():
        try:
            made[name] = _make(model, request.only_output)
        except MismatchError as error:
            return EditAnswer(problem=EditProblem(reason=str(error), key=(name, *map(str, error.key))))
        except Refused as error:
            reason = str(error).removeprefix(f"{model.target}: ")
            return EditAnswer(problem=EditProblem(reason=reason, key=(name,)))
        except OSError as error:
            return EditAnswer(disk_error=error.errno or errno.EIO)
        except MemoryError:
            return EditAnswer(problem=EditProblem(reason="needs more memory than a model may", key=(name,)))
    return EditAnswer(models=made)


def _make(request: ModelRequest, only_output: str) -> MadeModel:
    """Write one model, and load it. Raises ModelError; MismatchError where an edit does not fit."""
    with open(request.source, "rb", closefd=False) as file:
        file.seek(0)
        content = file.read()
    if request.weights == "int8":
        content = compact_weights(content)
    if request.edits is not None:
        content = edit_model(content, request.edits)
    model = read_model(content)
    target = Path(request.target)
    target.write_bytes(content)
    is_for_edgetpu = is_compiled_for_edgetpu(model)
    if not is_for_edgetpu:
        open_interpreter(SealedFile(target))  # says which operator the runtime lacks
    names = [only_output] if request.edits is None else list(request.edits)
    found = len(model.subgraphs[0].outputs)
    if found != len(names):
        raise ModelError(f"has {found} outputs; name those to keep under outputs")
    outputs = {name: output_spec(model, position, name) for position, name in enumerate(names)}
    return MadeModel(input=input_spec(model), outputs=outputs, is_for_edgetpu=is_for_edgetpu)
