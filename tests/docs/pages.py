"""Reads sections, tables and code blocks of the pages in docs/."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def sections(page: str) -> dict[str, str]:
    """Return the text below each heading of docs/<page>, by heading and without code blocks."""
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """Return the cells of every row of a section's tables, without the header rows."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        for line in table.splitlines()[2:]:
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def blocks(page: str) -> list[str]:
    """Return the code blocks of docs/<page>, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block(page: str, first_line: str) -> str:
    """Return the code block of docs/<page> that begins with this line."""
    return next(found for found in blocks(page) if found.startswith(first_line))
