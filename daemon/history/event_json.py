"""An event of the history as JSON, for `perceptd history --json`, the local socket and the page alike."""

from collections.abc import Mapping

from daemon.core.records import Modality
from daemon.core.timing import wall_time_of
from daemon.history.records import Clip, KeptEvent

# as in the payloads of MQTT
DECIMALS = 4

Json = dict[str, object]


def event_json(event: KeptEvent) -> Json:
    """Return what is known of an event. Times are ISO 8601 in UTC."""
    return {
        "id": event.id,
        "number": event.number,
        "stream": event.stream,
        "label": event.label,
        "bundle": event.bundle,
        "started": wall_time_of(event.started_s),
        "ended": None if event.ended_s is None else wall_time_of(event.ended_s),
        "ended_by": event.ended_by,
        "peak": round(event.peak, DECIMALS),
        "peak_time": wall_time_of(event.peak_s),
        "shares": _rounded(event.shares),
        "kept": event.kept,
        "verdict": event.verdict,
        "was": event.was,
        "snapshot": None if event.snapshot_bytes is None else {"bytes": event.snapshot_bytes},
        "clip": None if event.clip is None else _clip_json(event.clip),
    }


def _clip_json(clip: Clip) -> Json:
    return {
        "bytes": clip.size_bytes,
        "video": clip.video,
        "audio": clip.audio,
        "begins": wall_time_of(clip.begins_s),
        "duration_s": round(clip.duration_s, DECIMALS),
        "is_cut": clip.is_cut,
    }


def _rounded(shares: Mapping[Modality, float]) -> dict[Modality, float]:
    return {modality: round(share, DECIMALS) for modality, share in shares.items()}
