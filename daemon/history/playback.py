"""Makes what a browser plays of a kept clip, in a child process. Light: the process of the page imports it."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.runtime.child import Child

# what each browser plays in an MP4
PLAYED_CODECS = frozenset({"h264"})

# of one job on a slow and busy machine; its processor time is limited too
DEADLINE_S = 300.0

# takes two descriptors, as text: the clip to read, and the empty file to write
ClipJob = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class ClipJobs:
    """The functions that child processes run. Their modules import FFmpeg, which the process of the page does not."""

    render: ClipJob
    draw_spectrogram: ClipJob


def needs_rendering(video: str | None) -> bool:
    """Return whether a browser needs another rendering of a clip with pictures of this codec; None: it has none."""
    return video is not None and video not in PLAYED_CODECS


def run_job(job: ClipJob, clip: int, target: int, deadline_s: float = DEADLINE_S) -> None:
    """Run a job from the descriptor `clip` into the empty file `target`, and wait for it.

    Raises ChildError, with the reason in words; the target is then of no use.
    """
    with Child(job, str(clip), str(target), inherits=(clip, target)) as child:
        child.result(deadline_s)
