"""The bare loop: the least work for the same result, in one thread and without the safeguards of the daemon.

It decodes with the same decoder at the same pace, resizes, computes log-mel, invokes, fuses and
publishes. Each embedding is fused and published by itself, as the daemon does.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import yaml
from ai_edge_litert.interpreter import Interpreter
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from daemon.bundle.encoder_specs import AudioSpec, ImageSpec
from daemon.bundle.manifest import Manifest
from daemon.encoders.logmel import LogMel
from daemon.encoders.resize import largest_inside


class Net:
    """A TFLite model in an interpreter with one thread."""

    def __init__(self, path: Path) -> None:
        self.interpreter = Interpreter(model_path=str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.outputs = [detail["index"] for detail in self.interpreter.get_output_details()]

    def __call__(self, tensor: np.ndarray) -> list[np.ndarray]:
        """All outputs for one input."""
        self.interpreter.set_tensor(self.input["index"], tensor)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


class Pace:
    """Says which pictures an encoder takes: every picture, or at most `rate_hz` a second."""

    def __init__(self, rate_hz: float | None) -> None:
        # the times of pictures are not exact multiples of the time between two of them
        self.interval_s = 0.999 / rate_hz if rate_hz else 0.0
        self.next_s = -math.inf

    def is_due(self, time_s: float) -> bool:
        """Whether the encoder takes the picture of this time."""
        if time_s < self.next_s:
            return False
        self.next_s = time_s + self.interval_s
        return True


class Pictures:
    """Encodes the pictures of one encoder."""

    def __init__(self, bundle: Path, spec: ImageSpec, part: np.ndarray, *, is_exact: bool) -> None:
        """`part` is the encoder's part of the head's input. `is_exact`: resize as the manifest says."""
        self.spec, self.net, self.part = spec, Net(bundle / spec.model), part
        self.pace = Pace(spec.rate_hz)
        how = spec.preprocessing
        # format 1 is resized in the cheapest way, as long as it has been measured; format 2 as its manifest says
        self.resize = cv2.INTER_AREA if is_exact and how.resize == "area" else cv2.INTER_LINEAR
        # a pixel has only 256 values, so a table normalises in one step
        self.table = ((np.arange(256) - how.mean) / how.std).astype(np.float32)
        self.tensor = np.zeros(spec.input.shape[1:], spec.input.dtype)

    def encode(self, frame: av.VideoFrame) -> None:
        """Encode one frame. The planes are resized separately where the model takes colour."""
        height, width, channels = self.spec.input.shape[1:]
        if self.spec.preprocessing.fit == "pad":
            inner_width, inner_height = largest_inside((frame.width, frame.height), (width, height))
            top, left = (height - inner_height) // 2, (width - inner_width) // 2
        else:
            inner_width, inner_height, top, left = width, height, 0, 0
        pixels = _resized(frame, inner_width, inner_height, channels, self.resize)
        inner = self.tensor[top : top + inner_height, left : left + inner_width]
        if self.spec.input.dtype == "float32":
            pixels = cv2.LUT(pixels, self.table)
        inner[...] = pixels.reshape(inner.shape)
        _write(self.part, self.net(self.tensor[np.newaxis]))


class Sound:
    """Encodes the patches of sound of one encoder."""

    def __init__(self, bundle: Path, spec: AudioSpec, part: np.ndarray) -> None:
        """`part` is the encoder's part of the head's input."""
        self.spec, self.net, self.part = spec, Net(bundle / spec.model), part
        self.logmel = LogMel(spec.preprocessing) if spec.preprocessing.kind == "log_mel" else None
        self.samples = np.zeros(0, np.float32)

    def encode(self, frame: av.AudioFrame) -> int:
        """Add sound, and encode the patches that are full. Return their number."""
        how, count = self.spec.preprocessing, 0
        self.samples = np.concatenate((self.samples, frame.to_ndarray().reshape(-1)))
        while len(self.samples) >= how.patch_samples:
            patch = self.samples[: how.patch_samples]
            if self.logmel is not None:
                patch = self.logmel.spectra(patch)
            self.samples = self.samples[how.stride_samples :]
            _write(self.part, self.net(patch.reshape(self.spec.input.shape).astype(self.spec.input.dtype)))
            count += 1
        return count


class Loop:
    """Decodes, waits until an item is due, encodes, fuses and publishes."""

    def __init__(self, bundle: Path, port: int, topic: str) -> None:
        manifest = Manifest.model_validate(yaml.safe_load((bundle / "bundle.yaml").read_text()))
        self.features = np.zeros((1, manifest.head_input_size), np.float32)
        self.pictures, self.sounds, start = [], [], 0
        for spec in manifest.encoder_specs.values():
            part = self.features[0, start : start + spec.output_size]
            start += spec.size
            if isinstance(spec, ImageSpec):
                self.pictures.append(Pictures(bundle, spec, part, is_exact=manifest.format == 2))
            elif isinstance(spec, AudioSpec):
                self.sounds.append(Sound(bundle, spec, part))
        self.head_net = Net(bundle / manifest.head.model)
        self.topic = topic
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def run(self, clip: Path, seconds: float) -> None:
        """Replay the clip in a loop for this many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            base = time.monotonic()
            with av.open(str(clip)) as container:
                container.streams.video[0].codec_context.thread_count = 1
                for packet in container.demux():
                    for frame in packet.decode():
                        due = base + frame.time
                        if isinstance(frame, av.AudioFrame):
                            self.encode_sound(frame)
                            continue
                        time.sleep(max(0.0, due - time.monotonic()))
                        self.encode_picture(frame, due, time.time() - (time.monotonic() - due))
                        if due > end:
                            return

    def encode_picture(self, frame: av.VideoFrame, due: float, captured: float) -> None:
        """Encode one frame with each encoder for which it is due, and publish each result."""
        for pictures in self.pictures:
            if pictures.pace.is_due(due):
                pictures.encode(frame)
                self.publish(captured)

    def encode_sound(self, frame: av.AudioFrame) -> None:
        """Encode the patches that are full with this sound, and publish each result."""
        for sound in self.sounds:
            for _ in range(sound.encode(frame)):
                self.publish(None)

    def publish(self, captured: float | None) -> None:
        """Fuse the latest features and publish the result."""
        outputs = self.head_net(self.features)
        scores = next(output for output in outputs if output.ndim == 2)[0]
        best = int(scores.argmax())
        self.client.publish(self.topic, json.dumps({"label": best, "score": float(scores[best]), "captured": captured}))


def _resized(frame: av.VideoFrame, width: int, height: int, channels: int, how: int) -> np.ndarray:
    """The frame as RGB, or as luma where `channels` is 1. `how` is OpenCV's interpolation."""
    luma = cv2.resize(_plane(frame.planes[0]), (width, height), interpolation=how)
    if channels == 1:
        return luma
    i420 = np.empty((height * 3 // 2, width), np.uint8)
    i420[:height] = luma
    half = (width // 2, height // 2)
    halves = [cv2.resize(_plane(plane), half, interpolation=how).reshape(-1) for plane in frame.planes[1:]]
    i420[height:] = np.concatenate(halves).reshape(height // 2, width)
    return cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)


def _plane(plane: "av.video.plane.VideoPlane") -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _write(part: np.ndarray, outputs: list[np.ndarray]) -> None:
    """Write the outputs of a model into its part of the head's input, one after another."""
    start = 0
    for output in outputs:
        part[start : start + output.size] = output.reshape(-1)
        start += output.size


def main() -> None:
    """Run the bare loop for the time that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", default="bare")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    Loop(options.bundle, options.port, options.topic).run(options.clip, options.seconds)


if __name__ == "__main__":
    main()
