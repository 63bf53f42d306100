"""Where an encoder runs: a table of the config's choice, the bundle, and the hardware."""

from pathlib import Path

import pytest

from daemon.config.devices import DelegateConfig, DeviceSelection
from daemon.inference.hardware import EdgeTpu
from daemon.inference.placement import Device, EdgetpuModel, Machine, Placement, detect_machine, edgetpu, place

NOTHING = Machine()
USB = EdgeTpu("usb:0", Path("/dev/bus/usb/001/004"), "18d1:9302")
PCI = EdgeTpu("pci:0", Path("/dev/apex_0"), None)
BOTH = Machine((PCI, USB))
JETSON = Machine(has_gpu=True)
OWN = DelegateConfig(library="/opt/libmine.so", options={"b": "2", "a": "1"})
GPU = Device("gpu", "gpu")


# The bundle's model for an Edge TPU: whole, without an output, and without one that the head uses.
WHOLE, PART, NEEDED = EdgetpuModel(), EdgetpuModel(("embedding",)), EdgetpuModel(("embedding",), ("embedding",))
USES = "the head uses the output embedding, which the model for an Edge TPU lacks"
EDGETPU_LIBRARY = DelegateConfig(library="/usr/lib/libedgetpu.so.1.0")
BY_LIBRARY = Device("libedgetpu.so.1.0", "delegate", "/usr/lib/libedgetpu.so.1.0")


@pytest.mark.parametrize(
    ("choice", "machine", "compiled", "device", "reason"),
    [
        ("cpu", BOTH, WHOLE, None, None),
        ("auto", NOTHING, WHOLE, None, None),
        ("auto", NOTHING, None, None, None),
        ("auto", NOTHING, NEEDED, None, None),
        ("auto", Machine((USB,)), WHOLE, edgetpu("usb:0"), None),
        ("auto", Machine((USB,)), PART, edgetpu("usb:0"), None),
        ("auto", Machine((USB,)), NEEDED, None, USES),
        ("auto", BOTH, WHOLE, edgetpu("pci:0"), None),
        ("auto", BOTH, None, None, "no model compiled for it"),
        ("auto", JETSON, None, GPU, None),
        ("auto", Machine((USB,), has_gpu=True), WHOLE, edgetpu("usb:0"), None),
        ("auto", Machine((USB,), has_gpu=True), None, GPU, None),
        ("auto", Machine((USB,), has_gpu=True), NEEDED, GPU, None),
        ("edgetpu", BOTH, WHOLE, edgetpu("pci:0"), None),
        ("edgetpu", BOTH, PART, edgetpu("pci:0"), None),
        ("edgetpu", BOTH, NEEDED, None, USES),
        ("edgetpu", Machine((USB,)), WHOLE, edgetpu("usb:0"), None),
        ("edgetpu", NOTHING, WHOLE, edgetpu("usb:0"), None),  # it may be plugged in later
        ("edgetpu", NOTHING, NEEDED, None, USES),
        ("edgetpu", BOTH, None, None, "no model of this encoder"),
        ("edgetpu:usb", BOTH, WHOLE, edgetpu("usb:0"), None),
        ("edgetpu:usb:0", BOTH, WHOLE, edgetpu("usb:0"), None),
        ("edgetpu:pci", NOTHING, WHOLE, edgetpu("pci:0"), None),
        ("edgetpu:pci:1", BOTH, WHOLE, edgetpu("pci:1"), None),
        ("gpu", NOTHING, None, GPU, None),
        ("gpu", NOTHING, NEEDED, GPU, None),
        (OWN, NOTHING, None, Device("libmine.so", "delegate", "/opt/libmine.so", (("a", "1"), ("b", "2"))), None),
        (OWN, NOTHING, NEEDED, Device("libmine.so", "delegate", "/opt/libmine.so", (("a", "1"), ("b", "2"))), None),
        (EDGETPU_LIBRARY, NOTHING, None, BY_LIBRARY, None),
        (EDGETPU_LIBRARY, NOTHING, PART, BY_LIBRARY, None),
        (EDGETPU_LIBRARY, NOTHING, NEEDED, None, USES),
    ],
)
def test_where_an_encoder_runs(
    choice: DeviceSelection, machine: Machine, compiled: EdgetpuModel | None, device: Device | None, reason: str | None
) -> None:
    placement = place(choice, machine, compiled=compiled, gpu_delegate=None)
    assert placement.device == device
    assert (placement.reason is None) if reason is None else (reason in (placement.reason or ""))
    assert placement.requested == (choice if isinstance(choice, str) else Path(choice.library).name)
    is_part = compiled is PART and device is not None
    assert placement.absent_outputs == (("embedding",) if is_part else ())


def test_the_absence_of_outputs_is_told_in_words() -> None:
    assert Placement("auto", GPU).absence is None
    two = Placement("auto", edgetpu("usb:0"), absent_outputs=("frames", "embedding"))
    expected = "the model for an Edge TPU lacks the outputs frames and embedding; zeros stand in their place"
    assert two.absence == expected


def test_the_configured_library_is_the_alternative_to_the_runtimes_own_gpu_accelerator() -> None:
    placement = place("gpu", NOTHING, compiled=None, gpu_delegate=OWN)
    by_library = Device("gpu", "delegate", "/opt/libmine.so", (("a", "1"), ("b", "2")))
    assert placement.device == Device("gpu", "gpu", alternative=by_library)


def test_the_hardware_of_a_machine_is_detected(tmp_path: Path) -> None:
    assert detect_machine(tmp_path) == Machine()
    (tmp_path / "dev" / "dri").mkdir(parents=True)
    (tmp_path / "dev" / "dri" / "renderD128").touch()
    assert detect_machine(tmp_path) == Machine(), "auto takes a Jetson's GPU only"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref")
    (tmp_path / "dev" / "apex_0").touch()
    machine = detect_machine(tmp_path)
    assert machine.has_gpu
    assert [tpu.device for tpu in machine.edge_tpus] == ["pci:0"]
