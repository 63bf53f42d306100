"""The baseline: the network that this work grew from, repaired where it could not run. Builds, trains and exports it.

Unchanged: 224 x 224 x 3 -> Conv2D(64, 3 x 3, relu) -> MaxPooling2D(2 x 2) -> pooled to a vector. 100 ids -> Embedding
-> LSTM(64). Both together -> Dense(10, softmax). Adam, categorical cross-entropy, 10 epochs, batches of 32.

Repaired:

- The 111 x 111 x 64 map was flattened into 7.9 million inputs of the last layer. Now its mean is taken. The maximum is
  worse: on the development part 38 % of the pictures against 56 %, with 64 filters that had not learned yet.
- Pixels were 0 to 255. Now they are divided by 255. The means then differ by some thousandths from picture to picture,
  and at the usual rates nothing is learned from them. So both vectors are normalised by batch in training, at four
  times Adam's usual rate. The finished head includes that normalisation in its weights.
- The pictures are the handwritten digits as they are, enlarged, as in the original. Training on camera frames too
  leaves the accuracy on frames at one in ten. It also costs a quarter of the accuracy on the other pictures.
- Labels were integers, but the loss needs vectors. Now they are one-hot vectors.
- The meaning of an id was not defined. Now an id is a byte of UTF-8 plus 1, as in the text encoder. Positions beyond
  the line are 0, and the LSTM skips them, because it would forget the line over the zeros.
- Both inputs were required. Now a quarter of the training items lack the picture and a quarter the line. An absent
  input counts as zeros, as in the daemon's head.

The export is in float, because 8 bits cannot represent thousandths, and loops do not convert to int8.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import yaml
from keras import layers
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from training.glyphs import load_digits
from training.lines import make_lines
from training.specs import NONE, SEED

from daemon.bundle.encoder_specs import ImagePreprocessing, TensorSpec
from daemon.bundle.format1 import ImageModality
from daemon.encoders.image import fit
from daemon.encoders.text import byte_ids
from daemon.inference.graphs import write_head
from evaluation.frames import Grey, bare_frame

# Values of each embedding.
SIZE = 64
# Ids of a line.
LENGTH = 100
EPOCHS = 10
BATCH = 32
RATE = 4e-3
LINES = 60_000
DIGITS = [str(digit) for digit in range(10)]
IMAGE = ImageModality(
    model="image.tflite",
    input=TensorSpec(shape=[1, 224, 224, 3], dtype="float32"),
    preprocessing=ImagePreprocessing(colour="rgb", fit="stretch", resize="area", mean=0.0, std=255.0),
    output=TensorSpec(shape=[1, SIZE], dtype="float32"),
    max_age_ms=500,
)

Batch = tuple[tuple[NDArray[Any], ...], NDArray[np.float32]]


class Pairs(keras.utils.PyDataset):
    """Handwritten digits, each with a line that names the same digit.

    Every epoch has every digit once, with a new line.
    """

    def __init__(self, pictures: Grey, labels: NDArray[np.int64], seed: int) -> None:
        super().__init__()
        self._pictures, self._labels, self._seed, self._epoch = pictures, labels, seed, 0
        lines, named = make_lines(LINES, np.random.default_rng(seed), "train")
        self._lines = [[line for line, of in zip(lines, named, strict=True) if of == digit] for digit in range(NONE)]
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._order) // BATCH

    def on_epoch_end(self) -> None:
        """Start the next epoch, in another order."""
        self._epoch += 1
        self._order = np.random.default_rng((self._seed, self._epoch)).permutation(len(self._labels))

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((self._seed, self._epoch, index))
        rows = self._order[index * BATCH : (index + 1) * BATCH]
        labels = self._labels[rows]
        lines = [self._lines[label][rng.integers(len(self._lines[label]))] for label in labels]
        kind = rng.random((BATCH, 1))
        present = (kind >= 0.25), (kind < 0.25) | (kind >= 0.5)
        targets = np.eye(NONE, dtype=np.float32)[labels]
        inputs = pixels(self._pictures[rows]), np.concatenate([byte_ids(line, LENGTH) for line in lines])
        return (*inputs, *(here.astype(np.float32) for here in present)), targets


def pixels(pictures: Grey) -> NDArray[np.float32]:
    """Grey pictures (n, height, width) as the network takes them: float32 (n, 224, 224, 3) in 0 to 1."""
    frames = (bare_frame(picture) for picture in pictures)
    return np.stack([fit(frame, IMAGE) for frame in frames]).astype(np.float32) / np.float32(255)


def new_network() -> tuple[keras.Model, keras.Model, keras.Model]:
    """(image encoder, text encoder, network); the network takes picture, ids, and whether each is present."""
    picture, ids = keras.Input((224, 224, 3)), keras.Input((LENGTH,), dtype="int32")
    has_picture, has_line = keras.Input((1,)), keras.Input((1,))
    x = layers.MaxPooling2D(2)(layers.Conv2D(SIZE, 3, activation="relu")(picture))
    image_vector = layers.GlobalAveragePooling2D()(x)
    text_vector = layers.LSTM(SIZE)(layers.Embedding(257, SIZE, mask_zero=True)(ids))
    parts = [
        layers.Multiply()([layers.BatchNormalization(momentum=0.9, epsilon=1e-7, name=name)(vector), present])
        for name, vector, present in (
            ("normal_image", image_vector, has_picture),
            ("normal_text", text_vector, has_line),
        )
    ]
    both = layers.Concatenate()(parts)
    scores = layers.Dense(NONE, activation="softmax", name="scores")(both)
    network = keras.Model([picture, ids, has_picture, has_line], scores)
    return keras.Model(picture, image_vector), keras.Model(ids, text_vector), network


def build(data: Path, directory: Path) -> None:
    """Train on the training part of the data and write the bundle; about a quarter of an hour on one core."""
    keras.utils.set_random_seed(SEED)
    pictures, labels = load_digits(data, "train")
    image_encoder, text_encoder, network = new_network()
    network.compile(keras.optimizers.Adam(RATE), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    network.fit(Pairs(pictures, labels, SEED), epochs=EPOCHS, verbose=2)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "image.tflite").write_bytes(_in_float(image_encoder))
    (directory / "text.tflite").write_bytes(_in_float(text_encoder))
    weights, bias = _head_of(network)
    (directory / "head.tflite").write_bytes(write_head(weights, bias, [SIZE, SIZE]))
    # last, because a directory without a manifest is built again
    _write_manifest(directory)


def _head_of(network: keras.Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (10, 2 * SIZE + 2) and bias (10,) of a daemon's head that is equivalent to the last layers.

    A normalised vector is `scale * vector + offset`. The offset counts where the modality is present.
    """
    kernel, bias = network.get_layer("scores").get_weights()
    columns, present = [], []
    for name, part in zip(("normal_image", "normal_text"), np.split(kernel.T, 2, axis=1), strict=True):
        normal = network.get_layer(name)
        gamma, beta, mean, variance = normal.get_weights()
        scale = gamma / np.sqrt(variance + normal.epsilon)
        columns.append(part * scale)
        present.append(part @ (beta - scale * mean))
    return np.hstack((*columns, np.stack(present, axis=1))).astype(np.float32), bias


def _in_float(encoder: keras.Model) -> bytes:
    """The encoder as a model for the daemon's runtime."""
    source = encoder.inputs[0]

    @tf.function(input_signature=[tf.TensorSpec((1, *source.shape[1:]), source.dtype)])
    def run(x: tf.Tensor) -> tf.Tensor:
        return encoder(x, training=False)

    frozen = convert_variables_to_constants_v2(run.get_concrete_function(), lower_control_flow=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)
    return converter.convert()


def _write_manifest(directory: Path) -> None:
    manifest = {
        "format": 1,
        "name": "baseline",
        "version": "0.1.0",
        "description": "The network this work grew from, made to work; for comparison only.",
        "labels": DIGITS,
        "modalities": {
            "image": {
                "model": "image.tflite",
                "input": IMAGE.input.model_dump(exclude_none=True),
                "output": IMAGE.output.model_dump(exclude_none=True),
                "preprocessing": IMAGE.preprocessing.model_dump(),
                "max_age_ms": IMAGE.max_age_ms,
            },
            "text": {
                "model": "text.tflite",
                "input": {"shape": [1, LENGTH], "dtype": "int32"},
                "output": {"shape": [1, SIZE], "dtype": "float32"},
                "max_age_ms": 2000,
            },
        },
        "head": {"model": "head.tflite"},
        "selftest": {"tolerance": 0.05},
        "licences": [{"part": "all", "licence": "CC-BY-SA-4.0", "source": "MNIST, and lines by scripts/training"}],
    }
    (directory / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
