"""Moves the encoders of a loaded bundle to the accelerators that the config requests and the machine has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from daemon.bundle.bundle import Bundle, has_cases, load_cases
from daemon.bundle.encoder_specs import EncoderSpec, ImageSpec, TensorSpec
from daemon.config.devices import DevicesConfig
from daemon.core.errors import ChildError, InputError, ModelError
from daemon.core.logs import rate_limited_logger
from daemon.core.records import Tensor
from daemon.core.timing import NS_PER_S, Backoff
from daemon.inference.accelerator import Accelerator, FallbackModel
from daemon.inference.accelerator_process import AcceleratorModel
from daemon.inference.placement import Device, EdgetpuModel, Machine, Placement, detect_machine, place
from daemon.inference.upkeep import upkeep_of
from daemon.inference.verification import Workload
from daemon.pipeline.head_use import used_outputs
from daemon.pipeline.heads import load_head_model, load_taught_model
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
    before a failed accelerator is tried again. Where the CPU runs an encoder of pictures, the result has as many of it
    as `devices` requests.
    Raises Refused when a case of the bundle's self-test, from which test inputs are made, cannot be used.
    """
    machine = detect_machine() if machine is None else machine
    bundle = recogniser.bundle
    specs = bundle.manifest.encoder_specs
    loaded = {name: specs[name] for name in recogniser.encoders}
    placements = placements_of(loaded, devices, machine)
    if any(placement.absent_outputs for placement in placements.values()):
        placements = placements_of(loaded, devices, machine, needed_outputs(bundle))
    encoders, accelerators = dict(recogniser.encoders), []
    for device, names in _by_device(placements).items():
        workloads = [_workload(recogniser, name, device) for name in names]
        try:
            accelerator = Accelerator(
                device,
                workloads,
                check_every_ns=round(devices.check_every_s * NS_PER_S),
                upkeep=upkeep_of(device),
                backoff=None if retries is None else replace(retries),
            )
        except ChildError as error:
            for name in names:
                placements[name] = Placement(placements[name].requested, reason=f"{device.name}: {error}")
            continue
        for number, (name, work) in enumerate(zip(names, workloads, strict=True)):
            encoders[name] = new_encoder(name, specs[name], FallbackModel(accelerator, number, work))
        accelerators.append(accelerator)
    moved = replace(recogniser, encoders=encoders, placements=placements, accelerators=accelerators)
    return _with_image_workers(moved, devices.image_workers)


def placements_of(
    specs: Mapping[str, EncoderSpec],
    devices: DevicesConfig,
    machine: Machine,
    needed: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Placement]:
    """Return where each of these encoders runs. Different devices get different names.

    `needed` has by encoder the outputs that the head uses and the model for an Edge TPU lacks. Without it, an
    encoder with `absent_outputs` may belong to the CPU.
    """
    placements = {}
    for name, spec in specs.items():
        lacks = tuple(output for output in spec.outputs if output not in spec.edgetpu_outputs)
        compiled = EdgetpuModel(lacks, tuple((needed or {}).get(name, ()))) if spec.edgetpu else None
        choice = devices.of(spec.modality)
        placements[name] = place(choice, machine, compiled=compiled, gpu_delegate=devices.gpu_delegate)
    same_name: dict[str, list[Device]] = {}
    for name, placement in placements.items():
        if placement.device is not None:
            others = same_name.setdefault(placement.device.name, [])
            if placement.device not in others:
                others.append(placement.device)
            if (number := others.index(placement.device)) > 0:
                device = replace(placement.device, name=f"{placement.device.name}#{number + 1}")
                placements[name] = replace(placement, device=device)
    return placements


def needed_outputs(bundle: Bundle) -> dict[str, list[str]]:
    """Return by encoder the outputs that the heads use and the model for an Edge TPU lacks. Raises BundleError."""
    specs = bundle.manifest.encoder_specs
    heads = [model for model in (load_head_model(bundle), load_taught_model(bundle)) if model is not None]
    try:
        used = used_outputs(heads, specs)
    except ModelError as error:
        raise bundle.problem(str(error), "head", "model") from error
    return {
        name: [output for output in used[name] if output not in spec.edgetpu_outputs] for name, spec in specs.items()
    }


def _by_device(placements: Mapping[str, Placement]) -> dict[Device, list[str]]:
    """Return the encoders on each device; those on the CPU are left out."""
    encoders: dict[Device, list[str]] = {}
    for name, placement in placements.items():
        if placement.device is not None:
            encoders.setdefault(placement.device, []).append(name)
    return encoders


def _with_image_workers(recogniser: Recogniser, count: int) -> Recogniser:
    """Return the recogniser with `count` of each encoder of pictures that the CPU runs."""
    extra = {}
    pictures = [name for name in recogniser.bundle.manifest.of_modality(ImageSpec) if name in recogniser.encoders]
    for name in pictures if count > 1 else ():
        device = recogniser.placements[name].device
        if device is None:
            extra[name] = load_extra_encoders(recogniser.bundle, name, count - 1)
        else:
            log.warning("devices.image_workers is ignored: %s takes one picture at a time", device.name)
    return replace(recogniser, extra_encoders=extra)


def _workload(recogniser: Recogniser, name: str, device: Device) -> Workload:
    spec = recogniser.bundle.manifest.encoder_specs[name]
    file, outputs = spec.model, spec.outputs
    if device.is_edgetpu and spec.edgetpu:
        file, outputs = spec.edgetpu.model, spec.edgetpu_outputs
    model = AcceleratorModel(recogniser.bundle.model(file), spec.input, outputs)
    test_inputs = [*_case_inputs(recogniser, name), _noise(spec.input)]
    return Workload(name, model, recogniser.models[name], test_inputs, list(spec.outputs))


def _case_inputs(recogniser: Recogniser, name: str) -> list[Tensor]:
    """Return what the encoder's model gets in the first cases of the self-test, one input from each case.

    Of a sound it is the patch whose embedding has the largest range.
    """
    bundle, model = recogniser.bundle, recogniser.models[name]
    spec = bundle.manifest.encoder_specs[name]
    inputs: list[Tensor] = []
    for item, where in _case_items(recogniser):
        candidates: list[tuple[float, Tensor]] = []
        try:
            for encoder_input in encoder_inputs(item, spec):
                vector = recogniser.encoders[name].encode(encoder_input).vector
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
    if not has_cases(bundle):
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
