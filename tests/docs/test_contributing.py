"""docs/contributing.md lists every campaign."""

import re

from tests.docs.pages import ROOT, rows, sections


def test_the_page_lists_every_campaign_once() -> None:
    marked = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r'mark\.campaign\("([a-z-]+)"', path.read_text(encoding="utf-8"))
    }
    listed = [row[0].strip("`") for row in rows(sections("contributing.md").get("Campaigns", ""))]
    assert listed == sorted(marked)
