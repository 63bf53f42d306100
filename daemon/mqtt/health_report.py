"""What readers use of a node's health, and the sentences that they show of it. Pure."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from daemon.core.text import clean
from daemon.mqtt.payloads import Name, Part, Payload, Time, parse_time

# states of a source that explain why a node is not well
IN_TROUBLE = ("recovering", "degraded", "stalled", "backing_off")

# states of an accelerator in which the CPU computes for it
NOT_USED = ("starting", "absent", "failed")

MAX_TROUBLES = 8

# of the text that says how the directory of a bundle has changed
MAX_CHANGE = 300

# a reason says what to do at its end, and may name picture and sound
MAX_REASON = 320

Reason = Annotated[str, Field(max_length=4096)] | None


class SourceReport(Part):
    """The fields of a source's health that readers use."""

    state: Name
    reason: Reason = None


class StreamReport(Part):
    """The fields of a stream's health that readers use. A device that is false is closed on request."""

    paused: bool = False
    camera: bool | None = None
    microphone: bool | None = None
    sources: Annotated[dict[Name, SourceReport], Field(max_length=64)] = {}


class AcceleratorReport(Part):
    """The fields of an accelerator's health that readers use."""

    state: Name
    reason: Reason = None


class OutboxReport(Part):
    """The field of the outbox that readers use."""

    trouble: Reason = None


class MqttReport(Part):
    """The fields of `mqtt` in health that readers use."""

    refused_subscriptions: Annotated[list[Name], Field(max_length=1024)] = []
    outbox: OutboxReport = OutboxReport()


class TeachingReport(Part):
    """The field of `teaching` in health that readers use."""

    problem: Reason = None


class HealthReport(Payload):
    """The fields of the health payload that readers use."""

    status: Name
    time: Time | None = None
    bundle_changed: Reason = None
    trouble: Reason = None
    reload_problem: Reason = None
    metrics_problem: Reason = None
    state_problem: Reason = None
    streams: Annotated[dict[Name, StreamReport], Field(max_length=64)] = {}
    accelerators: Annotated[dict[Name, AcceleratorReport], Field(max_length=64)] = {}
    mqtt: MqttReport = MqttReport()
    teaching: TeachingReport = TeachingReport()

    @property
    def at(self) -> datetime | None:
        """When the node made it."""
        return None if self.time is None else parse_time(self.time)


def faults(report: HealthReport) -> list[str]:
    """Return why the node is not well, the most important first."""
    found = [] if report.trouble is None else [clean(report.trouble)]
    found += [
        _source_fault(stream, name, source)
        for stream, each in report.streams.items()
        for name, source in each.sources.items()
        if source.state in IN_TROUBLE
    ]
    found += [
        f"{clean(name)}: {clean(accelerator.reason, MAX_REASON)}; on the CPU"
        for name, accelerator in report.accelerators.items()
        if accelerator.state in NOT_USED and accelerator.reason
    ]
    if refused := report.mqtt.refused_subscriptions:
        found.append(f"the MQTT broker refuses subscriptions to {clean(', '.join(refused), MAX_CHANGE)}")
    return found[:MAX_TROUBLES]


def closed(report: HealthReport) -> list[str]:
    """Return which streams are paused, and which devices of other streams are closed on request."""
    found = []
    for name, stream in report.streams.items():
        if stream.paused:
            found.append(f"{clean(name)} is paused")
        else:
            devices = {"camera": stream.camera, "microphone": stream.microphone}
            found += [f"{clean(name)}/{device} is closed" for device, is_open in devices.items() if is_open is False]
    return found[:MAX_TROUBLES]


def remarks(report: HealthReport) -> list[str]:
    """Return what a person must look at, although recognition goes on."""
    found = []
    if report.mqtt.outbox.trouble is not None:
        found.append(clean(report.mqtt.outbox.trouble, MAX_CHANGE))
    if report.reload_problem is not None:
        found.append(f"the config was not reloaded: {clean(report.reload_problem)}")
    if report.bundle_changed is not None:
        found.append(clean(report.bundle_changed, MAX_CHANGE))
    if report.teaching.problem is not None:
        found.append(f"teaching: {clean(report.teaching.problem, MAX_CHANGE)}")
    if report.metrics_problem is not None:
        found.append(clean(report.metrics_problem, MAX_CHANGE))
    if report.state_problem is not None:
        found.append(clean(report.state_problem, MAX_CHANGE))
    return found


def _source_fault(stream: str, name: str, source: SourceReport) -> str:
    if source.state == "degraded" and source.reason:
        return f"{clean(stream)}: {clean(source.reason, MAX_REASON)}"  # the reason names picture or sound
    state = f"{clean(stream)}/{clean(name)} is {clean(source.state).replace('_', ' ')}"
    return f"{state}: {clean(source.reason)}" if source.reason else state
