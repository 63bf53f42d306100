"""The schema of `devices:` in config.yaml: what runs the encoders."""

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from daemon.bundle.manifest import Number
from daemon.core.document import StrictModel
from daemon.core.records import Modality

NAMES = re.compile(r"auto|cpu|gpu|edgetpu(:(usb|pci)(:(0|[1-9][0-9]?))?)?")


class DelegateConfig(StrictModel):
    """A library with the ABI of TFLite's external delegates, and the options it takes."""

    library: Annotated[str, Field(min_length=1, max_length=4096)]
    options: dict[str, str] = {}

    @field_validator("options", mode="before")
    @classmethod
    def _as_text(cls, options: object) -> object:
        """Delegates take text alone; YAML makes numbers of some of it."""
        if not isinstance(options, dict):
            return options
        return {key: json.dumps(value) if isinstance(value, (int, float)) else value for key, value in options.items()}


def _device_name(name: str) -> str:
    if not re.fullmatch(NAMES, name):
        raise ValueError(
            "expected auto, cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, gpu, or {library: PATH, options: {...}}"
        )
    return name


def _which(choice: object) -> str:
    return "delegate" if isinstance(choice, (dict, DelegateConfig)) else "name"


Named = Annotated[str, AfterValidator(_device_name)]
DeviceSelection = Annotated[
    Annotated[Named, Tag("name")] | Annotated[DelegateConfig, Tag("delegate")],
    Discriminator(_which),
]


class DevicesConfig(StrictModel):
    """What runs every encoder, and which of them something else; how often accelerators are checked.

    `image_workers` is how many pictures are encoded at once where the CPU does it.
    """

    default: DeviceSelection = "auto"
    image: DeviceSelection | None = None
    audio: DeviceSelection | None = None
    text: DeviceSelection | None = None
    gpu_delegate: DelegateConfig | None = None
    check_every_s: Annotated[Number, Field(ge=0, le=3600)] = 1.0
    image_workers: Annotated[int, Field(ge=1, le=8)] = 1

    def with_absolute_paths(self, base: Path) -> "DevicesConfig":
        """Its libraries taken relative to `base` where they are paths; a plain name is the system's to find."""
        delegates = {key: value for key, value in self if isinstance(value, DelegateConfig) and "/" in value.library}
        update = {k: v.model_copy(update={"library": str(base / v.library)}) for k, v in delegates.items()}
        return self.model_copy(update=update)

    def of(self, modality: Modality) -> DeviceSelection:
        """What is to run this encoder."""
        choice: DeviceSelection | None = getattr(self, modality)
        return self.default if choice is None else choice


ON_CPU = DevicesConfig(default="cpu")
