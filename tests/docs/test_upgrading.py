"""docs/upgrading.md has each version, and docs/troubleshooting.md leads from each symptom to its section."""

import re

from daemon import __version__
from tests.docs.pages import ROOT, rows, sections

VERSION = re.compile(r"\d+\.\d+\.\d+")


def test_the_page_has_each_version_that_somebody_may_upgrade_to() -> None:
    released = re.findall(r"^## (\d+\.\d+\.\d+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    page = sections("upgrading.md")
    described = [heading for heading in page if VERSION.fullmatch(heading)]
    assert set(described) == {*released, __version__} - {"0.1.0"}
    assert [VERSION.findall(row[0])[0] for row in rows(page["Upgrading"])] == described


def test_each_symptom_leads_to_its_section() -> None:
    page = sections("troubleshooting.md")
    first, *others = [*page]
    linked = [row[1] for row in rows(page[first])]
    assert [re.search(r"\(#(.+)\)", link)[1] for link in linked] == [  # type: ignore[index]
        heading.lower().replace(" ", "-") for heading in others if heading != "Metrics"
    ]
