"""What an Edge TPU needs beside its process: to be there, and to be reset after it has failed."""

import logging
import time
from functools import partial
from pathlib import Path

from daemon.clock import NS_PER_S, monotonic_ns
from daemon.inference.accelerator import Upkeep
from daemon.inference.device import Device
from daemon.inference.hardware import USB_IDS, EdgeTpu, edge_tpus, reset_usb

log = logging.getLogger(__name__)

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
