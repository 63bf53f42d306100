"""docs/architecture.md names every module of the daemon, in its room, and no other."""

import re

from tests.docs.pages import ROOT, rows, sections

MODULE = re.compile(r"`([a-z0-9_]+)`")


def listed() -> dict[str, set[str]]:
    """The modules that the page lists, by room. A large room has several rows: `room`: a part of it."""
    found: dict[str, list[str]] = {}
    for part, modules in rows(sections("architecture.md")["What lives where"]):
        found.setdefault(part.split("`")[1], []).extend(MODULE.findall(_without_remarks(modules)))
    assert all(len(set(modules)) == len(modules) for modules in found.values()), "a module is listed twice"
    return {room: set(modules) for room, modules in found.items()}


def _without_remarks(modules: str) -> str:
    return re.sub(r"\([^)]*\)", "", modules)


def present() -> dict[str, set[str]]:
    """The modules that the daemon has, by room."""
    modules: dict[str, set[str]] = {}
    for path in (ROOT / "daemon").rglob("*.py"):
        room = path.parent.relative_to(ROOT / "daemon").as_posix()
        if room != "." and path.stem != "__init__":
            modules.setdefault(room, set()).add(path.stem)
    return modules


def test_the_page_lists_every_module_in_its_room() -> None:
    assert listed() == present()
