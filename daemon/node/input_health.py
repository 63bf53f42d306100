"""What health says of a stream's inputs: what was captured, encoded and dropped, of each modality and encoder."""

from collections import Counter
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from daemon.core.records import MODALITIES, Counters, Modality


class EncoderInputHealth(BaseModel):
    """Counts of one encoder since the start: embeddings made, and drops by reason."""

    model_config = ConfigDict(frozen=True)

    encoded: int
    dropped: dict[str, int]


class InputHealth(BaseModel):
    """Counts of one modality since the start: captured frames, blocks or lines, embeddings made, drops by reason."""

    model_config = ConfigDict(frozen=True)

    captured: int
    encoded: int
    dropped: dict[str, int]


class SharedInputHealth(InputHealth):
    """Counts of a modality that several encoders use. Its own `encoded` and `dropped` are sums over its encoders."""

    encoders: dict[str, EncoderInputHealth]


def inputs_health(
    encoders: Mapping[str, Modality], counters: Mapping[Modality, Counters]
) -> dict[Modality, SharedInputHealth | InputHealth]:
    """Return a snapshot of the counters of each modality; `encoders` has the modality of each encoder in use."""
    return {
        sense: _input_health(sense, encoders, counters[sense]) for sense in MODALITIES if sense in encoders.values()
    }


def _input_health(
    modality: Modality, encoders: Mapping[str, Modality], counters: Counters
) -> SharedInputHealth | InputHealth:
    encoded, dropped = 0, Counter[str]()
    for part in counters.parts:
        encoded += part.encoded
        dropped.update(part.dropped.copy())
    alike = [name for name, sense in encoders.items() if sense == modality]
    if len(alike) == 1:
        return InputHealth(captured=counters.captured, encoded=encoded, dropped=dict(dropped))
    each = {name: counters.encoders[name] for name in alike}
    return SharedInputHealth(
        captured=counters.captured,
        encoded=encoded,
        dropped=dict(dropped),
        encoders={
            name: EncoderInputHealth(encoded=one.encoded, dropped=one.dropped.copy()) for name, one in each.items()
        },
    )
