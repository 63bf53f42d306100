"""Tables of versions that match or not, and libraries that do not load."""

import pytest

from daemon.doctor.libraries import (
    LIBRARIES,
    LITERT,
    TFLITE,
    Installed,
    assess_versions,
    installed,
    library_findings,
    major_minor,
)
from daemon.doctor.probe import ProbeResult

GOOD = Installed((3, 11, 2), "2.1.0", LITERT, "2.3.0")


@pytest.mark.parametrize(
    "have",
    [
        GOOD,
        Installed((3, 14, 0), "2.4.6", LITERT, "2.3.0"),
        Installed((3, 10, 12), "1.26.4", TFLITE, "2.14.0"),
        Installed((3, 11, 2), "1.26.4", TFLITE, "?"),
        Installed((3, 11, 2), "1.26.4", LITERT, "?"),
    ],
)
def test_matching_versions(have: Installed) -> None:
    finding = assess_versions(have)
    assert (finding.level, finding.remedy) == ("good", None)


@pytest.mark.parametrize(
    ("have", "found", "remedy"),
    [
        (Installed((3, 9, 2), "1.26.4", TFLITE, "2.14.0"), "too old", "Python 3.10 or newer"),
        (Installed((3, 11, 2), "2.1.0", None, None), "no TFLite runtime", 'pip install "ai-edge-litert>=2.3"'),
        (Installed((3, 15, 0), "2.4.6", None, None), "no TFLite runtime for this Python", "use Python 3.10 to 3.14"),
        (Installed((3, 11, 2), "2.0.0", TFLITE, "2.14.0"), "made for numpy 1", 'pip install "numpy>=1.26,<2"'),
        (Installed((3, 11, 2), None, TFLITE, "2.14.0"), "no numpy", 'pip install "numpy>=1.26,<2"'),
        (Installed((3, 11, 2), "1.24.2", LITERT, "2.3.0"), "numpy 1.26 or newer", 'pip install "numpy>=1.26"'),
        (Installed((3, 11, 2), None, LITERT, "2.3.0"), "no numpy", 'pip install "numpy>=1.26"'),
        (Installed((3, 11, 2), "1.26.4", LITERT, "1.0.1"), "2.3 or newer", 'pip install "ai-edge-litert>=2.3"'),
    ],
)
def test_mismatched_versions(have: Installed, found: str, remedy: str) -> None:
    finding = assess_versions(have)
    assert finding.level == "failure"
    assert found in finding.found
    assert remedy in (finding.remedy or "")


@pytest.mark.parametrize(
    ("text", "expected"), [("2.14.0", (2, 14)), ("16.0tf2.17.1-1", (16, 0)), ("2.5.0.post1", (2, 5)), ("?", (0, 0))]
)
def test_numbers_of_versions(text: str, expected: tuple[int, int]) -> None:
    assert major_minor(text) == expected


def test_the_versions_and_libraries_of_this_python_are_good() -> None:
    have = installed()
    assert assess_versions(have).level == "good"
    (finding,) = library_findings(have)
    assert finding.level == "good"
    assert all(package in finding.found for package in ("numpy", have.runtime or "", *LIBRARIES))


@pytest.mark.parametrize(
    ("result", "remedy"),
    [
        (ProbeResult("", "numpy crashed: SIGILL", "SIGILL"), "processor lacks"),
        (ProbeResult("", "numpy crashed: SIGSEGV", "SIGSEGV"), "pip install --force-reinstall numpy"),
        (ProbeResult("", "numpy: cannot be imported: its C part"), "pip install --force-reinstall numpy"),
        (ProbeResult("", "numpy is not installed", is_missing=True), "pip install numpy"),
        (
            ProbeResult("", "numpy: the system has not answered for 60 s", is_late=True),
            "keeps the processor or the card busy",
        ),
    ],
)
def test_a_library_that_does_not_load_is_named(result: ProbeResult, remedy: str) -> None:
    def probe(package: str, module: str) -> ProbeResult:
        return result if package == "numpy" else ProbeResult("")

    (finding,) = library_findings(GOOD, probe)
    assert (finding.level, finding.found) == ("failure", result.problem)
    assert remedy in (finding.remedy or "")
