"""The schema of `devices:` in config.yaml: the processors that run the encoders."""

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from daemon.bundle.encoder_specs import Number
from daemon.core.document import StrictModel
from daemon.core.records import Modality

DEVICE_NAMES = re.compile(r"auto|cpu|gpu|edgetpu(:(usb|pci)(:(0|[1-9][0-9]?))?)?")


class DelegateConfig(StrictModel):
    """A shared library with the ABI of TFLite's external delegates, and its options."""

    library: Annotated[str, Field(min_length=1, max_length=4096)]
    options: dict[str, str] = {}

    @field_validator("options", mode="before")
    @classmethod
    def _values_to_text(cls, options: object) -> object:
        """Return the options with numbers as text: delegates take text only, and YAML turns some of it into numbers."""
        if not isinstance(options, dict):
            return options
        return {key: json.dumps(value) if isinstance(value, (int, float)) else value for key, value in options.items()}


def _device_name(name: str) -> str:
    if not re.fullmatch(DEVICE_NAMES, name):
        raise ValueError(
            "expected auto, cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, gpu, or {library: PATH, options: {...}}"
        )
    return name


def _selection_tag(selection: object) -> str:
    return "delegate" if isinstance(selection, (dict, DelegateConfig)) else "name"


DeviceName = Annotated[str, AfterValidator(_device_name)]
DeviceSelection = Annotated[
    Annotated[DeviceName, Tag("name")] | Annotated[DelegateConfig, Tag("delegate")],
    Discriminator(_selection_tag),
]


class DevicesConfig(StrictModel):
    """The device for all encoders, the exceptions by modality, and how often accelerators are checked.

    `image_workers` is the number of pictures that each encoder on the CPU encodes at once.
    """

    default: DeviceSelection = "auto"
    image: DeviceSelection | None = None
    audio: DeviceSelection | None = None
    text: DeviceSelection | None = None
    gpu_delegate: DelegateConfig | None = None
    check_every_s: Annotated[Number, Field(ge=0, le=3600)] = 1.0
    image_workers: Annotated[int, Field(ge=1, le=8)] = 1

    def with_absolute_paths(self, base: Path) -> "DevicesConfig":
        """Return the config with library paths relative to `base`; the system's loader finds a plain name."""
        delegates = {key: value for key, value in self if isinstance(value, DelegateConfig) and "/" in value.library}
        update = {k: v.model_copy(update={"library": str(base / v.library)}) for k, v in delegates.items()}
        return self.model_copy(update=update)

    def of(self, modality: Modality) -> DeviceSelection:
        """Return the device for this modality's encoder."""
        selection: DeviceSelection | None = getattr(self, modality)
        return self.default if selection is None else selection


ON_CPU = DevicesConfig(default="cpu")
