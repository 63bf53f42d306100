"""Finds microphones: those of the sound server, or of ALSA where there is no server."""

from daemon.core.errors import SourceError
from daemon.setup.found import FoundMicrophone, SearchFailed
from daemon.sources.microphone import MicrophoneDevice, list_microphones

# PortAudio's mark for a device of ALSA that is hardware. The others are names for the same hardware.
HARDWARE = "(hw:"


def microphones() -> list[FoundMicrophone]:
    """Return the microphones that this user hears, the default one first.

    Raises SearchFailed when the sound system does not answer.
    """
    try:
        devices = list_microphones()
    except SourceError as error:
        raise SearchFailed(str(error)) from error
    return choices(devices)


def choices(devices: list[MicrophoneDevice]) -> list[FoundMicrophone]:
    """Return each microphone once: PortAudio lists a device under several names."""
    of_server = [device for device in devices if device.number is None]
    of_alsa = [device for device in devices if HARDWARE in device.device]
    found = [FoundMicrophone(each.device, each.name, each.is_default) for each in of_server or of_alsa]
    return sorted(found, key=lambda each: not each.is_default)
