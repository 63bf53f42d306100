"""What YAMNet hears in a clip: its 521 scores for each patch, as the daemon streams sound."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.bundle.sound_preprocessing import AudioPreprocessing
from daemon.core.records import Array, Block
from daemon.core.timing import NS_PER_S
from daemon.encoders.audio import AudioFrontEnd
from daemon.inference.litert import Interpreter

RATE_HZ = 16_000
BLOCK_SAMPLES = 320
SILENCE_S = 2
# The model's scores are int8 inside, in steps of 1/256.
STEPS = 256


class Hearing:
    """Streams clips through the daemon's front end and YAMNet."""

    def __init__(self, model: Path, preprocessing: AudioPreprocessing) -> None:
        self._preprocessing = preprocessing
        self._interpreter = Interpreter(model_path=str(model), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def hear(self, samples: Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the ends (n,) of the patches of a clip with silence around it, and their scores (n, 521) in STEPS."""
        silence = np.zeros(SILENCE_S * RATE_HZ, np.float32)
        padded = np.concatenate((silence, samples, silence))
        front_end, ends, scores = AudioFrontEnd(self._preprocessing), [], []
        for start in range(0, len(padded), BLOCK_SAMPLES):
            part = padded[start : start + BLOCK_SAMPLES]
            block = Block(part, RATE_HZ, start * NS_PER_S // RATE_HZ, gap=start == 0)
            for patch in front_end.push(block):
                ends.append(patch.end_ns)
                scores.append(self._invoke(patch.values))
        return np.array(ends, np.int64), np.rint(np.array(scores) * STEPS).clip(0, STEPS - 1).astype(np.uint8)

    def _invoke(self, spectra: Array) -> Array:
        self._interpreter.set_tensor(self._input, spectra[np.newaxis])
        self._interpreter.invoke()
        scores: Array = self._interpreter.get_tensor(self._output)[0]
        return scores
