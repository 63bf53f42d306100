"""What an accelerator needs beside its process: a look whether the device is there, and a reset after a failure."""

import logging
import time
from pathlib import Path
from typing import Protocol

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.inference.hardware import USB_IDS, EdgeTpu, edge_tpus, reset_usb
from daemon.inference.placement import Device

log = logging.getLogger(__name__)

# A USB device is back one second after its reset. Waiting longer is useless.
RESET_S = 5.0

POLL_S = 0.1


class Upkeep(Protocol):
    """Looks after one device; called by the thread of its accelerator."""

    def absence(self) -> str | None:
        """Return why the device is absent; None when it is there."""

    def reset(self) -> None:
        """Reset the device after a failure, as far as that is possible. Raises nothing."""


class EdgeTpuUpkeep:
    """Implements `Upkeep` for one Edge TPU."""

    def __init__(self, address: str, root: Path = Path("/")) -> None:
        """`address` is written as libedgetpu takes it: usb:0, pci:0. `root` holds /sys and /dev."""
        self._address = address
        self._root = root

    def absence(self) -> str | None:
        """Return why the Edge TPU is absent; None when it is there."""
        if self._find() is not None:
            return None
        bus, _, number = self._address.partition(":")
        if bus == "pci":
            return f"there is no Edge TPU {self._address}: no /dev/apex_{number}; is its driver (gasket) loaded?"
        return f"there is no Edge TPU {self._address}: no USB device {' or '.join(USB_IDS)} is plugged in"

    def reset(self) -> None:
        """Reset an Edge TPU on USB and wait until it is back. An Edge TPU on PCI is left alone."""
        tpu = self._find()
        if tpu is None or tpu.usb_id is None:
            return
        try:
            reset_usb(tpu.node)
        except OSError as error:
            log.warning("edgetpu:%s: could not be reset: %s: %s", self._address, tpu.node, error.strerror)
            return
        end_ns = monotonic_ns() + round(RESET_S * NS_PER_S)
        while self._find() is None and monotonic_ns() < end_ns:
            time.sleep(POLL_S)

    def _find(self) -> EdgeTpu | None:
        return next((tpu for tpu in edge_tpus(self._root) if tpu.device == self._address), None)


def upkeep_of(device: Device, root: Path = Path("/")) -> Upkeep | None:
    """Return the upkeep of an Edge TPU that the config names by its address; None for every other device."""
    kind, _, address = device.name.partition(":")
    return EdgeTpuUpkeep(address, root) if kind == "edgetpu" else None
