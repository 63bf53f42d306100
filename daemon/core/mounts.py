"""Whether a directory outlives a restart of the machine, by the kernel's list of mounts."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

# an overlay of a read-only root has its changes in memory mostly, and in a container they end with it
PASSING = {"tmpfs": "in memory", "ramfs": "in memory", "overlay": "on an overlay of a read-only system"}


def why_passing(directory: Path) -> str | None:
    """Return where a directory lies whose files are lost at a restart of the machine; None: they stay, or nobody knows.

    The directory need not exist yet.
    """
    try:
        mounts = MOUNTS.read_text("utf-8", "replace")
    except OSError:
        return None
    return PASSING.get(file_system_of(directory.absolute(), mounts) or "")


def file_system_of(path: Path, mounts: str) -> str | None:
    """Return the type of the file system on which an absolute path lies, by the text of mountinfo; see proc(5)."""
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        fields, kinds = mount.split(" "), source.split(" ")
        if len(fields) < 5:
            continue
        place = Path(fields[4].encode().decode("unicode_escape") if "\\" in fields[4] else fields[4])
        # of two mounts at one place the later one counts
        if path.is_relative_to(place) and (found is None or len(place.parts) >= found[0]):
            found = len(place.parts), kinds[0]
    return None if found is None else found[1]
