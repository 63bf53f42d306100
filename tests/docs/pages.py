"""Reads sections, tables and code blocks of the pages in docs/, and the strings of the program that they quote."""

import ast
import re
from functools import cache
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


@cache
def strings() -> str:
    """Return every string in the sources, including the constant parts of f-strings. This takes seconds."""
    sources = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "daemon").rglob("*.py")]
    nodes = (node for source in sources for node in ast.walk(source) if isinstance(node, ast.Constant))
    return "\n".join(re.sub(r"%(s|d|\.1f)", "\0", node.value) for node in nodes if isinstance(node.value, str))
