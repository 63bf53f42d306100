"""Where frames, blocks and lines come from: cameras, microphones, text inlets, recordings."""

from daemon.sources.build import build_sources
from daemon.sources.devices import list_cameras
from daemon.sources.microphone import MicrophoneDevice, list_microphones
from daemon.sources.quality import Inspector
from daemon.sources.text import TextInlet
from daemon.sources.watch import watch_of

__all__ = [
    "Inspector",
    "MicrophoneDevice",
    "TextInlet",
    "build_sources",
    "list_cameras",
    "list_microphones",
    "watch_of",
]
