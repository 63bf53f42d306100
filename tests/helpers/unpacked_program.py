"""Run by the interpreter of an unpacked package: does with each library what the daemon does with it. Prints JSON."""

import importlib
import io
import json
import pkgutil
import sys

import av
import cv2
import numpy as np

import daemon
from daemon.teaching.logistic import Problem, solve


def imported() -> list[str]:
    """Import every module of the daemon, and return their names."""
    names = [module.name for module in pkgutil.walk_packages(daemon.__path__, "daemon.")]
    # importing the program would run it
    names.remove("daemon.__main__")
    for name in names:
        importlib.import_module(name)
    return names


def fitted() -> bool:
    """Whether a fit tells two kinds of rows from each other."""
    rows = np.array([[1, 0], [0, 1]] * 8, np.float32)
    targets = rows[:, :1]
    ones = np.ones((16, 1), np.float32)
    weights = solve(Problem([rows], targets, ones, np.ones((1, 1), np.bool_), ones), 0.01)
    logits = weights.logits([rows])[:, 0]
    return bool((logits[::2] > 0).all() and (logits[1::2] < 0).all())


def resized() -> list[int]:
    """Return the shape of a picture that was coded, decoded and resized."""
    coded = cv2.imencode(".jpg", np.zeros((90, 120, 3), np.uint8))[1]
    picture = cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (40, 30), interpolation=cv2.INTER_AREA)
    return list(picture.shape)


def copied() -> int:
    """Return the number of pictures in a film that was coded, and copied to another container without decoding."""
    film = io.BytesIO()
    with av.open(film, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    copy = io.BytesIO()
    film.seek(0)
    with av.open(film) as source, av.open(copy, "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    copy.seek(0)
    with av.open(copy) as container:
        return sum(1 for _ in container.decode(video=0))


if __name__ == "__main__":
    found = {"modules": imported(), "fitted": fitted(), "resized": resized(), "copied": copied()}
    json.dump({**found, "daemon": daemon.__file__, "python": sys.executable}, sys.stdout)
