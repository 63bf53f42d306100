"""From a model's input to an embedding; from an input that is as before, without the model."""

from collections.abc import Callable
from dataclasses import replace

from daemon.encoders.tensors import OutputReader
from daemon.manifest import TensorSpec
from daemon.ports import Model
from daemon.records import CPU, Embedding, Modality


class Embedder:
    """Invokes one model for one modality. Used by one thread at a time."""

    def __init__(self, modality: Modality, model: Model, output: TensorSpec, transform: str) -> None:
        self._modality = modality
        self._model = model
        self._read = OutputReader(output, transform)
        self._latest: Embedding | None = None

    def embed(self, is_as_before: bool, write: Callable[[], None], start_ns: int, end_ns: int) -> Embedding:
        """The embedding of what `write` puts into the model's input; the one made last where that is as before.

        One that an accelerator made is not used again: it may have computed wrongly, and be found out since.
        Raises ModelError when the model fails; then nothing is as before.
        """
        if is_as_before and self._latest is not None and self._latest.device == CPU:
            return replace(self._latest, start_ns=start_ns, end_ns=end_ns)
        self._latest = None
        write()
        vector = self._read(self._model.invoke()[0])
        self._latest = Embedding(self._modality, vector, start_ns, end_ns, self._model.device)
        return self._latest
