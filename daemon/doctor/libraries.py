"""Checks that Python, numpy and the TFLite runtime match, and that all libraries load."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from daemon.doctor.finding import Finding
from daemon.doctor.probe import LATE_REMEDY, ProbeResult, probe_module

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"

# the packages that contain the interpreter, and its module; the first one that is installed is used
RUNTIMES = {LITERT: "ai_edge_litert.interpreter", TFLITE: "tflite_runtime.interpreter"}

# the other packages that a node imports, and their modules
LIBRARIES = {
    "opencv-python-headless": "cv2",
    "av": "av",
    "soxr": "soxr",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "paho-mqtt": "paho.mqtt.client",
}

# as in pyproject.toml
OLDEST_PYTHON, OLDEST_NUMPY, OLDEST_LITERT = (3, 10), (1, 26), (2, 3)

# the newest Python for which ai-edge-litert 2.3 has wheels
NEWEST_PYTHON = (3, 14)


@dataclass(frozen=True, slots=True)
class Installed:
    """Versions as the packages state them; None: not installed, "?": not stated."""

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
    """The versions that this Python has."""
    runtime = next((name for name, module in RUNTIMES.items() if _is_there(module.split(".")[0])), None)
    numpy = _version("numpy") if _is_there("numpy") else None
    return Installed(sys.version_info[:3], numpy, runtime, _version(runtime) if runtime else None)


def assess_versions(have: Installed) -> Finding:
    """Whether the versions match."""
    mismatch = _mismatch(have)
    if mismatch is None:
        return Finding("python", "good", str(have))
    problem, remedy = mismatch
    return Finding("python", "failure", f"{have}: {problem}", remedy)


def library_findings(have: Installed, probe: Callable[[str, str], ProbeResult] = probe_module) -> Iterator[Finding]:
    """Import each library in a child process: a build for another processor crashes the process."""
    modules = {"numpy": "numpy"} | ({have.runtime: RUNTIMES[have.runtime]} if have.runtime else {}) | LIBRARIES
    loaded = []
    for package, module in modules.items():
        result = probe(package, module)
        if result.problem is None:
            loaded.append(package)
        else:
            yield Finding("libraries", "failure", result.problem, _remedy(package, result))
    if len(loaded) == len(modules):
        yield Finding("libraries", "good", f"{', '.join(loaded)} load")


def major_minor(text: str) -> tuple[int, int]:
    """The major and minor number of a version; (0, 0) if it has none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _mismatch(have: Installed) -> tuple[str, str] | None:
    """The problem and its remedy."""
    if have.python[:2] < OLDEST_PYTHON:
        return "Python is too old", "install Python 3.10 or newer, and perceptd in it"
    if have.runtime is None:
        if have.python[:2] > NEWEST_PYTHON:
            return "there is no TFLite runtime for this Python", "use Python 3.10 to 3.14"
        return "models cannot run", 'pip install "ai-edge-litert>=2.3"'
    numpy = major_minor(have.numpy) if have.numpy else (0, 0)
    if have.runtime == TFLITE and (numpy >= (2, 0) or numpy < OLDEST_NUMPY):
        # modules that were compiled for numpy 1 do not run with numpy 2 (numpy's migration guide)
        return "tflite-runtime is made for numpy 1", 'pip install "numpy>=1.26,<2"'
    if numpy < OLDEST_NUMPY:
        return "perceptd needs numpy 1.26 or newer", 'pip install "numpy>=1.26"'
    litert = have.runtime_version if have.runtime == LITERT else None
    if litert is not None and litert != "?" and major_minor(litert) < OLDEST_LITERT:
        return "perceptd needs ai-edge-litert 2.3 or newer", 'pip install "ai-edge-litert>=2.3"'
    return None


def _remedy(package: str, result: ProbeResult) -> str:
    if result.is_missing:
        return f"pip install {package}"
    if result.signal_name == "SIGILL":
        return "this build uses instructions that the processor lacks: install a build for this processor"
    if result.is_late:
        return LATE_REMEDY
    return f"reinstall it: pip install --force-reinstall {package}"


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"  # JetPack installs modules without the metadata of their package
