"""Moves the encoders of a loaded bundle to the accelerators that the config wants and the machine has.

The pictures' encoder, where it stays on the CPU, gets the helpers that the config wants.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from daemon.bundle.bundle import CASES_FILE, load_cases
from daemon.bundle.manifest import SELFTEST_DIRECTORY, Manifest, TensorSpec
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, InputError
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Modality, Tensor
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.inference.accelerator import Accelerator, FallbackModel, Upkeep
from daemon.inference.accelerator_process import AcceleratorModel
from daemon.inference.hardware import USB_IDS, EdgeTpu, edge_tpus, reset_usb
from daemon.inference.placement import Device, Machine, Placement, look_around, place
from daemon.inference.verification import Workload
from daemon.pipeline.offline import Item, encoder_inputs, item_of
from daemon.pipeline.recogniser import Recogniser, load_helpers, new_encoder

log = rate_limited_logger(__name__)

BACK_S = 5.0
"""A USB device that was reset is there again in a second; nobody waits for it longer."""

LOOK_S = 0.1


def upkeep_of(device: Device, root: Path = Path("/")) -> Upkeep:
    """What is to be done for a device: nothing, but for an Edge TPU that was asked for by this name."""
    kind, _, where = device.name.partition(":")
    if kind != "edgetpu":
        return Upkeep()
    return Upkeep(partial(_absence, where, root), partial(_revive, where, root))


def _found(where: str, root: Path) -> EdgeTpu | None:
    return next((tpu for tpu in edge_tpus(root) if tpu.device == where), None)


def _absence(where: str, root: Path) -> str | None:
    if _found(where, root) is not None:
        return None
    if where.startswith("pci"):
        return f"there is no Edge TPU {where}: no /dev/apex_{where.partition(':')[2]}; is its driver (gasket) loaded?"
    return f"there is no Edge TPU {where}: no USB device {' or '.join(USB_IDS)} is plugged in"


def _revive(where: str, root: Path) -> None:
    tpu = _found(where, root)
    if tpu is None or tpu.usb_id is None:
        return
    try:
        reset_usb(tpu.node)
    except OSError as error:
        log.warning("edgetpu:%s: could not be reset: %s: %s", where, tpu.node, error.strerror)
        return
    end_ns = monotonic_ns() + round(BACK_S * NS_PER_S)
    while _found(where, root) is None and monotonic_ns() < end_ns:
        time.sleep(LOOK_S)


MOST_QUESTIONS = 3
"""From the bundle's self-test: enough that an answer which never changes is wrong for one of them."""

NOISE_SEED = 1


def accelerate(
    recogniser: Recogniser,
    devices: DevicesConfig,
    machine: Machine | None = None,
    retries: Backoff | None = None,
) -> Recogniser:
    """The same with its encoders where `devices` wants them; nothing is started yet. What was given is used up.

    `machine` is what is there (default: looked for), `retries` how long to wait before an accelerator is tried again.
    Raises Refused when a case of the bundle's self-test, from which known answers are made, cannot be used.
    """
    machine = look_around() if machine is None else machine
    specs = recogniser.bundle.manifest.modalities.present()
    placements = placements_of(recogniser.bundle.manifest, devices, machine)
    together: dict[Device, list[Modality]] = {}
    for modality, placement in placements.items():
        if placement.device is not None:
            together.setdefault(placement.device, []).append(modality)
    encoders, accelerators = dict(recogniser.encoders), []
    for device, modalities in together.items():
        workloads = [_workload(recogniser, modality, device) for modality in modalities]
        try:
            accelerator = Accelerator(
                device,
                workloads,
                check_every_ns=round(devices.check_every_s * NS_PER_S),
                upkeep=upkeep_of(device),
                backoff=None if retries is None else replace(retries),
            )
        except ChildError as error:
            for modality in modalities:
                placements[modality] = Placement(placements[modality].wanted, reason=f"{device.name}: {error}")
            continue
        for number, (modality, work) in enumerate(zip(modalities, workloads, strict=True)):
            encoders[modality] = new_encoder(specs[modality], FallbackModel(accelerator, number, work.cpu))
        accelerators.append(accelerator)
    moved = replace(recogniser, encoders=encoders, placements=placements, accelerators=accelerators)
    return _with_helpers(moved, devices.image_workers)


def _with_helpers(recogniser: Recogniser, image_workers: int) -> Recogniser:
    """The same with so many encoders of pictures, where they run on the CPU: an accelerator takes one at a time."""
    image = recogniser.placements.get("image")
    if image is None or image_workers == 1:
        return recogniser
    if image.device is not None:
        log.warning("devices.image_workers is passed over: %s takes one picture at a time", image.device.name)
        return recogniser
    return replace(recogniser, helpers={"image": load_helpers(recogniser.bundle, "image", image_workers - 1)})


def placements_of(manifest: Manifest, devices: DevicesConfig, machine: Machine) -> dict[Modality, Placement]:
    """Where `devices` wants each encoder, of what the machine has. No two devices have the same name."""
    placements = {
        modality: place(
            devices.of(modality), machine, is_compiled=spec.edgetpu is not None, gpu_delegate=devices.gpu_delegate
        )
        for modality, spec in manifest.modalities.present().items()
    }
    named: dict[str, list[Device]] = {}
    for modality, placement in placements.items():
        if placement.device is not None:
            alike = named.setdefault(placement.device.name, [])
            if placement.device not in alike:
                alike.append(placement.device)
            if (number := alike.index(placement.device)) > 0:
                device = replace(placement.device, name=f"{placement.device.name}#{number + 1}")
                placements[modality] = replace(placement, device=device)
    return placements


def _workload(recogniser: Recogniser, modality: Modality, device: Device) -> Workload:
    spec = recogniser.bundle.manifest.modalities.present()[modality]
    file = spec.edgetpu if device.is_edgetpu and spec.edgetpu else spec.model
    served = AcceleratorModel(recogniser.bundle.file(file), spec.input, spec.output)
    questions = [*_from_cases(recogniser, modality), _noise(spec.input)]
    return Workload(modality, served, recogniser.models[modality], questions)


def _from_cases(recogniser: Recogniser, modality: Modality) -> list[Tensor]:
    """What the bundle's self-test gives the encoder's model: of a sound, the patch that it finds most in."""
    bundle, model = recogniser.bundle, recogniser.models[modality]
    audio = bundle.manifest.modalities.audio
    found: list[Tensor] = []
    for item, where in _items(recogniser):
        tried: list[tuple[float, Tensor]] = []
        try:
            for taken in encoder_inputs(item, modality, audio.preprocessing if audio else None):
                vector = recogniser.encoders[modality].encode(taken).vector
                tried.append((float(np.ptp(vector)), model.input.copy()))
        except InputError as error:
            raise bundle.problem(f"{where}: {error}", "selftest") from error
        if tried:
            found.append(max(tried, key=lambda attempt: attempt[0])[1])
        if len(found) == MOST_QUESTIONS:
            break
    return found


def _items(recogniser: Recogniser) -> Iterator[tuple[Item, str]]:
    """Of the self-test, each with where it stands."""
    bundle = recogniser.bundle
    if not (bundle.directory / SELFTEST_DIRECTORY / CASES_FILE).is_file():
        return
    for case, where in load_cases(bundle):
        yield item_of(bundle, case), where


def _noise(spec: TensorSpec) -> Tensor:
    """An input like no other, the same every time."""
    generator = np.random.default_rng(NOISE_SEED)
    if spec.dtype == "float32":
        return generator.standard_normal(spec.shape, np.float32)
    if spec.dtype == "int32":  # bytes plus 1
        return generator.integers(0, 257, spec.shape).astype(np.int32)
    limits = np.iinfo(spec.dtype)
    return generator.integers(limits.min, limits.max, spec.shape, endpoint=True).astype(spec.dtype)
