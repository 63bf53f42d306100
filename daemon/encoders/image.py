"""The image encoder: a frame to an embedding."""

import cv2
import numpy as np

from daemon.encoders.pixels import fit
from daemon.encoders.tensors import embedding_vector, quantize
from daemon.manifest import ImageSpec
from daemon.ports import Model
from daemon.records import Embedding, Frame, Modality


class ImageEncoder:
    """Fits a frame into the model's input and invokes it. Used by one thread at a time."""

    modality: Modality = "image"

    def __init__(self, spec: ImageSpec, model: Model) -> None:
        self._spec = spec
        self._model = model
        self._target = model.input.reshape(spec.input.shape[1:])
        # of the whole process: a picture is resized sooner than OpenCV's own threads have woken up
        cv2.setNumThreads(1)
        preprocessing = spec.preprocessing
        pixels = (np.arange(256, dtype=np.float32) - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
        # every pixel has one of 256 values: normalising and quantizing is one look-up
        self._table = quantize(pixels, spec.input)
        self._is_identity = self._table.dtype == np.uint8 and bool((self._table == np.arange(256)).all())

    def encode(self, item: Frame) -> Embedding:
        """The embedding of one frame."""
        pixels = fit(item, self._spec)
        if self._is_identity:
            np.copyto(self._target, pixels)
        else:
            cv2.LUT(pixels, self._table, self._target)
        output = self._model.invoke()[0]
        vector = embedding_vector(output, self._spec.output, self._spec.transform)
        return Embedding(self.modality, vector, item.captured_ns, item.captured_ns, self._model.device)
