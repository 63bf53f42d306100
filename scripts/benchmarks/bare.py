"""The bare loop: the least work for the same result, in one thread and without the safeguards of the daemon.

It decodes with the same decoder at the same pace, resizes in the cheapest way, computes log-mel, invokes, fuses and
publishes.
"""

import argparse
import json
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

from daemon.bundle.manifest import Manifest
from daemon.encoders.logmel import LogMel


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


class Loop:
    """Decodes, waits until an item is due, encodes, fuses and publishes."""

    def __init__(self, bundle: Path, port: int, topic: str) -> None:
        manifest = Manifest.model_validate(yaml.safe_load((bundle / "bundle.yaml").read_text()))
        self.image, self.audio = manifest.encoder_specs.get("image"), manifest.encoder_specs.get("audio")
        self.image_net, self.audio_net = Net(bundle / self.image.model), Net(bundle / self.audio.model)
        self.head_net = Net(bundle / manifest.head.model)
        self.sizes = [spec.size for spec in manifest.encoder_specs.values()]
        self.features = np.zeros((1, manifest.head_input_size), np.float32)
        self.logmel = LogMel(self.audio.preprocessing)
        self.samples = np.zeros(0, np.float32)
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
                        self.encode_frame(frame, time.time() - (time.monotonic() - due))
                        if due > end:
                            return

    def encode_frame(self, frame: av.VideoFrame, captured: float) -> None:
        """Encode and publish one frame. The planes are resized separately where the model takes colour."""
        height, width, channels = self.image.input.shape[1:]
        luma = _plane(frame.planes[0])
        if channels == 1:
            pixels = cv2.resize(luma, (width, height), interpolation=cv2.INTER_LINEAR)
        else:
            i420 = np.empty((height * 3 // 2, width), np.uint8)
            i420[:height] = cv2.resize(luma, (width, height))
            halves = [cv2.resize(_plane(plane), (width // 2, height // 2)).reshape(-1) for plane in frame.planes[1:]]
            i420[height:] = np.concatenate(halves).reshape(height // 2, width)
            pixels = cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)
        tensor = pixels.reshape(self.image.input.shape).astype(self.image.input.dtype, copy=False)
        self.features[0, : self.sizes[0]] = self.image_net(tensor)[0].reshape(-1)
        self.publish(captured)

    def encode_sound(self, frame: av.AudioFrame) -> None:
        """Add sound, and encode and publish a patch whenever there is enough for one."""
        preprocessing = self.audio.preprocessing
        self.samples = np.concatenate((self.samples, frame.to_ndarray().reshape(-1)))
        needed = (preprocessing.frames - 1) * preprocessing.hop_samples + preprocessing.window_samples
        while len(self.samples) >= needed:
            patch = self.logmel.spectra(self.samples[:needed])
            self.samples = self.samples[preprocessing.stride_frames * preprocessing.hop_samples :]
            tensor = patch.reshape(self.audio.input.shape).astype(self.audio.input.dtype)
            output = self.audio_net(tensor)[0].reshape(-1)
            self.features[0, self.sizes[0] : self.sizes[0] + self.sizes[1]] = output
            self.publish(None)

    def publish(self, captured: float | None) -> None:
        """Fuse the latest features and publish the result."""
        outputs = self.head_net(self.features)
        scores = next(output for output in outputs if output.ndim == 2)[0]
        best = int(scores.argmax())
        self.client.publish(self.topic, json.dumps({"label": best, "score": float(scores[best]), "captured": captured}))


def _plane(plane: "av.video.plane.VideoPlane") -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


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
