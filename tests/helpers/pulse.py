"""A private PulseAudio with a virtual speaker and a microphone that records it, without a sound card."""

import os
import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

RATE_HZ = 16_000
START_DEADLINE_S = 15.0

# without rewinds the microphone records no gaps
SCRIPT = """
load-module module-native-protocol-unix auth-anonymous=1 socket={directory}/native
load-module module-null-sink sink_name=speaker norewinds=1 rate=16000 channels=1 format=s16le
load-module module-remap-source source_name=microphone master=speaker.monitor
set-default-sink speaker
set-default-source microphone
"""

# no fallback to ALSA's null device, which would deliver zeros as fast as it can
ALSA = """
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.pulse { type pulse }
"""


@dataclass
class PulseServer:
    """A PulseAudio server. A process finds it with `environment`, which must be set before sounddevice is loaded."""

    directory: Path
    environment: dict[str, str] = field(init=False)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        settings = {
            "HOME": str(self.directory),
            "PULSE_RUNTIME_PATH": str(self.directory),
            "PULSE_STATE_PATH": str(self.directory),
            "PULSE_SERVER": f"unix:{self.directory}/native",
            "PULSE_COOKIE": f"{self.directory}/cookie",
            "ALSA_CONFIG_PATH": str(self.directory / "asound.conf"),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PULSE_"))}
        self.environment = {**inherited, **settings}

    def start(self) -> None:
        script = self.directory / "default.pa"
        script.write_text(SCRIPT.format(directory=self.directory))
        (self.directory / "asound.conf").write_text(ALSA)
        (self.directory / "native").unlink(missing_ok=True)
        options = ["--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes", "--realtime=no"]
        with (self.directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["pulseaudio", "-n", *options, "--high-priority=no", "--log-target=stderr", "-F", script],
                env=self.environment,
                stderr=log,
            )
        deadline = time.monotonic() + START_DEADLINE_S
        while self.pactl("list", "short", "sources").count("microphone") == 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                pytest.fail(f"pulseaudio did not start:\n{(self.directory / 'log').read_text()[-1000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the server during the block: it lives and does not answer."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    @contextmanager
    def playing(
        self, frequency_hz: float, seconds: float = 120.0, *, speaker: str = "speaker", levels: Sequence[float] = (0.5,)
    ) -> Iterator[None]:
        """Play a tone to a speaker during the block; `levels` are fractions of full scale, one for each channel."""
        tone = np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)
        path = self.directory / f"{speaker}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(len(levels))
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes((32_767 * tone[:, None] * np.array(levels)).astype("<i2").tobytes())
        with self.playing_file(path, speaker=speaker):
            yield

    @contextmanager
    def playing_file(self, path: Path, *, speaker: str = "speaker") -> Iterator["subprocess.Popen[bytes]"]:
        """Play a sound file to a speaker during the block, beside what plays already."""
        command = ["paplay", "--latency-msec=20", f"--device={speaker}", path]
        player = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield player
        finally:
            player.kill()
            player.wait()

    @contextmanager
    def microphone(self, name: str, rate_hz: int = RATE_HZ, channels: int = 1) -> Iterator[str]:
        """Add a microphone that records NAME_speaker during the block; yield the module to unload."""
        kind = [f"rate={rate_hz}", f"channels={channels}"]
        sink = self.pactl("load-module", "module-null-sink", f"sink_name={name}_speaker", "norewinds=1", *kind)
        master = [f"source_name={name}", f"master={name}_speaker.monitor"]
        source = self.pactl("load-module", "module-remap-source", *master, *kind)
        try:
            yield source
        finally:
            self.unload(source)
            self.unload(sink)

    def unload(self, module: str) -> None:
        """Unload a module; one that is not loaded is ignored."""
        self.pactl("unload-module", module)

    def pactl(self, *arguments: str) -> str:
        """Run pactl; return its output."""
        command = ["pactl", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False, text=True).stdout.strip()


@contextmanager
def pulse_server(directory: Path) -> Iterator[PulseServer]:
    """Run a server during the block. Fails and names the Debian packages where PulseAudio is missing."""
    missing = [name for name in ("pulseaudio", "pactl", "paplay") if shutil.which(name) is None]
    if missing:
        packages = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
        pytest.fail(f"{', '.join(missing)} not found; the microphone's tests need the packages {packages}")
    server = PulseServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
