"""Moves the encoders of a loaded bundle to the accelerators that the config requests and the machine has."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import itemgetter

import numpy as np

from daemon.bundle.bundle import CASES_FILE, load_cases
from daemon.bundle.encoder_specs import TensorSpec
from daemon.bundle.manifest import SELFTEST_DIRECTORY, Manifest
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, InputError
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Modality, Tensor
from daemon.core.timing import NS_PER_S, Backoff
from daemon.inference.accelerator import Accelerator, FallbackModel
from daemon.inference.accelerator_process import AcceleratorModel
from daemon.inference.placement import Device, Machine, Placement, detect_machine, place
from daemon.inference.upkeep import upkeep_of
from daemon.inference.verification import Workload
from daemon.pipeline.offline import Item, encoder_inputs, item_of
from daemon.pipeline.recogniser import Recogniser, load_extra_encoders, new_encoder

log = rate_limited_logger(__name__)

# Test inputs from the bundle's self-test. An output that never changes is wrong for one of them at least.
MAX_CASE_INPUTS = 3

NOISE_SEED = 1


def accelerate(
    recogniser: Recogniser,
    devices: DevicesConfig,
    machine: Machine | None = None,
    retries: Backoff | None = None,
) -> Recogniser:
    """Return the recogniser with its encoders on the devices that `devices` requests. Nothing is started.

    The given recogniser must not be used afterwards. `machine` is detected by default. `retries` replaces the wait
    before a failed accelerator is tried again. Where the CPU runs the encoder of pictures, the result has as many of
    them as `devices` requests.
    Raises Refused when a case of the bundle's self-test, from which test inputs are made, cannot be used.
    """
    machine = detect_machine() if machine is None else machine
    specs = recogniser.bundle.manifest.encoder_specs
    placements = placements_of(recogniser.bundle.manifest, devices, machine)
    encoders, accelerators = dict(recogniser.encoders), []
    for device, modalities in _by_device(placements).items():
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
                placements[modality] = Placement(placements[modality].requested, reason=f"{device.name}: {error}")
            continue
        for number, (modality, work) in enumerate(zip(modalities, workloads, strict=True)):
            encoders[modality] = new_encoder(
                modality, specs[modality], FallbackModel(accelerator, number, work.cpu_fallback)
            )
        accelerators.append(accelerator)
    moved = replace(recogniser, encoders=encoders, placements=placements, accelerators=accelerators)
    return _with_image_workers(moved, devices.image_workers)


def placements_of(manifest: Manifest, devices: DevicesConfig, machine: Machine) -> dict[Modality, Placement]:
    """Return where each encoder runs. Different devices get different names."""
    placements = {
        modality: place(
            devices.of(spec.modality), machine, is_compiled=spec.edgetpu is not None, gpu_delegate=devices.gpu_delegate
        )
        for modality, spec in manifest.encoder_specs.items()
    }
    same_name: dict[str, list[Device]] = {}
    for modality, placement in placements.items():
        if placement.device is not None:
            others = same_name.setdefault(placement.device.name, [])
            if placement.device not in others:
                others.append(placement.device)
            if (number := others.index(placement.device)) > 0:
                device = replace(placement.device, name=f"{placement.device.name}#{number + 1}")
                placements[modality] = replace(placement, device=device)
    return placements


def _by_device(placements: Mapping[Modality, Placement]) -> dict[Device, list[Modality]]:
    """Return the modalities on each device; those on the CPU are left out."""
    modalities: dict[Device, list[Modality]] = {}
    for modality, placement in placements.items():
        if placement.device is not None:
            modalities.setdefault(placement.device, []).append(modality)
    return modalities


def _with_image_workers(recogniser: Recogniser, count: int) -> Recogniser:
    image = recogniser.placements.get("image")
    if image is None or count == 1:
        return recogniser
    if image.device is not None:
        log.warning("devices.image_workers is ignored: %s takes one picture at a time", image.device.name)
        return recogniser
    return replace(recogniser, extra_encoders={"image": load_extra_encoders(recogniser.bundle, "image", count - 1)})


def _workload(recogniser: Recogniser, modality: Modality, device: Device) -> Workload:
    spec = recogniser.bundle.manifest.encoder_specs[modality]
    file = spec.edgetpu.model if device.is_edgetpu and spec.edgetpu else spec.model
    output = next(iter(spec.outputs.values()))
    model = AcceleratorModel(recogniser.bundle.model(file), spec.input, output)
    test_inputs = [*_case_inputs(recogniser, modality), _noise(spec.input)]
    return Workload(modality, model, recogniser.models[modality], test_inputs)


def _case_inputs(recogniser: Recogniser, modality: Modality) -> list[Tensor]:
    """Return what the encoder's model gets in the first cases of the self-test, one input from each case.

    Of a sound it is the patch whose embedding has the largest range.
    """
    bundle, model = recogniser.bundle, recogniser.models[modality]
    spec = bundle.manifest.encoder_specs[modality]
    inputs: list[Tensor] = []
    for item, where in _case_items(recogniser):
        candidates: list[tuple[float, Tensor]] = []
        try:
            for encoder_input in encoder_inputs(item, spec):
                vector = recogniser.encoders[modality].encode(encoder_input).vector
                candidates.append((float(np.ptp(vector)), model.input.copy()))
        except InputError as error:
            raise bundle.problem(f"{where}: {error}", "selftest") from error
        if candidates:
            inputs.append(max(candidates, key=itemgetter(0))[1])
        if len(inputs) == MAX_CASE_INPUTS:
            break
    return inputs


def _case_items(recogniser: Recogniser) -> Iterator[tuple[Item, str]]:
    """Yield the items of the self-test, each with its file and line."""
    bundle = recogniser.bundle
    if not (bundle.directory / SELFTEST_DIRECTORY / CASES_FILE).is_file():
        return
    for case, where in load_cases(bundle):
        yield item_of(bundle, case), where


def _noise(spec: TensorSpec) -> Tensor:
    """Return the same random input every time."""
    generator = np.random.default_rng(NOISE_SEED)
    if spec.dtype == "float32":
        return generator.standard_normal(spec.shape, np.float32)
    if spec.dtype == "int32":  # bytes of text plus 1
        return generator.integers(0, 257, spec.shape).astype(np.int32)
    limits = np.iinfo(spec.dtype)
    return generator.integers(limits.min, limits.max, spec.shape, endpoint=True).astype(spec.dtype)
