"""The image encoder: a frame to an embedding."""

import cv2
import numpy as np

from daemon.encoders.embed import Embedder
from daemon.encoders.pixels import Fitter
from daemon.encoders.tensors import quantize
from daemon.manifest import ImageSpec
from daemon.ports import Model
from daemon.records import Embedding, Frame, Modality


class ImageEncoder:
    """Fits a frame into the model's input and invokes it, if it differs from the one before. Used by one thread."""

    modality: Modality = "image"

    def __init__(self, spec: ImageSpec, model: Model) -> None:
        # of the whole process: a picture is resized sooner than OpenCV's own threads have woken up
        cv2.setNumThreads(1)
        preprocessing = spec.preprocessing
        pixels = (np.arange(256, dtype=np.float32) - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
        # every pixel has one of 256 values: normalising and quantizing is one look-up
        table = quantize(pixels, spec.input)
        self._fitter = Fitter(spec, table, model.input.reshape(spec.input.shape[1:]))
        self._embedder = Embedder(self.modality, model, spec.output, spec.transform)

    def encode(self, item: Frame) -> Embedding:
        """The embedding of one frame."""
        is_as_before = not self._fitter.take(item)
        return self._embedder.embed(is_as_before, self._fitter.write, item.captured_ns, item.captured_ns)
