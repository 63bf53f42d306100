"""Python, numpy and the TFLite runtime against each other, and whether the libraries load at all."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from daemon.doctor.finding import Finding, ProbeResult, import_module, probe

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
RUNTIMES = {LITERT: "ai_edge_litert.interpreter", TFLITE: "tflite_runtime.interpreter"}
"""The packages that bring the interpreter, and its module; the first that is installed is used."""

LIBRARIES = {
    "opencv-python-headless": "cv2",
    "av": "av",
    "soxr": "soxr",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "paho-mqtt": "paho.mqtt.client",
}
"""What else a node imports, and its module."""

OLDEST_PYTHON, OLDEST_NUMPY, OLDEST_LITERT = (3, 10), (1, 26), (2, 3)
"""As pyproject.toml asks for them."""

NEWEST_PYTHON = (3, 14)
"""The newest Python that ai-edge-litert 2.3 has wheels for."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Versions as their packages state them; None: not installed, "?": not stated."""

    python: tuple[int, int, int]
    numpy: str | None
    runtime: str | None
    runtime_version: str | None

    def __str__(self) -> str:
        python = ".".join(map(str, self.python))
        numpy = f"numpy {self.numpy}" if self.numpy else "no numpy"
        runtime = f"{self.runtime} {self.runtime_version}" if self.runtime else "no TFLite runtime"
        return f"Python {python}, {numpy}, {runtime}"


def installed() -> Installed:
    """What this Python has."""
    runtime = next((name for name, module in RUNTIMES.items() if _is_there(module.split(".")[0])), None)
    numpy = _version("numpy") if _is_there("numpy") else None
    return Installed(sys.version_info[:3], numpy, runtime, _version(runtime) if runtime else None)


def assess_versions(have: Installed) -> Finding:
    """Whether the versions go together."""
    trouble = _trouble(have)
    if trouble is None:
        return Finding("python", "good", str(have))
    words, remedy = trouble
    return Finding("python", "failure", f"{have}: {words}", remedy)


def major_minor(text: str) -> tuple[int, int]:
    """Major and minor number of a version; (0, 0) where it has none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def library_findings(have: Installed, attempt: Callable[..., ProbeResult] = probe) -> Iterator[Finding]:
    """Import each library in a child process: one that does not fit the processor ends it."""
    modules = {"numpy": "numpy"} | ({have.runtime: RUNTIMES[have.runtime]} if have.runtime else {}) | LIBRARIES
    loaded = []
    for package, module in modules.items():
        trial = attempt(package, import_module, module)
        if trial.trouble is None:
            loaded.append(package)
        else:
            yield Finding("libraries", "failure", trial.trouble, _repair(package, trial))
    if len(loaded) == len(modules):
        yield Finding("libraries", "good", f"{', '.join(loaded)} load")


def _trouble(have: Installed) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    if have.python[:2] < OLDEST_PYTHON:
        return "too old", "install Python 3.10 or newer, and perceptd in it"
    if have.runtime is None:
        if have.python[:2] > NEWEST_PYTHON:
            return "there is none for this Python", "use Python 3.10 to 3.14"
        return "models cannot run", 'pip install "ai-edge-litert>=2.3"'
    numpy = major_minor(have.numpy) if have.numpy else (0, 0)
    if have.runtime == TFLITE and (numpy >= (2, 0) or numpy < OLDEST_NUMPY):
        # what is compiled against numpy 1 cannot be run with numpy 2 (numpy's migration guide)
        return "tflite-runtime is made for numpy 1", 'pip install "numpy>=1.26,<2"'
    if numpy < OLDEST_NUMPY:
        return "perceptd needs numpy 1.26 or newer", 'pip install "numpy>=1.26"'
    if (
        have.runtime == LITERT
        and have.runtime_version != "?"
        and major_minor(have.runtime_version or "") < OLDEST_LITERT
    ):
        return "perceptd needs ai-edge-litert 2.3 or newer", 'pip install "ai-edge-litert>=2.3"'
    return None


def _repair(package: str, trial: ProbeResult) -> str:
    if trial.is_missing:
        return f"pip install {package}"
    if str(trial.trouble).endswith("SIGILL"):
        return "this build uses instructions that the processor lacks: install one for this processor"
    return f"install it anew: pip install --force-reinstall {package}"


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"  # JetPack brings modules without their package's description
