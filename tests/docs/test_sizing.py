"""docs/sizing.md: the computed figures follow from those that the page names."""

import re

import pytest

from tests.docs.pages import rows, sections

PAGE = sections("sizing.md")
MEASURED, *COMPUTED = rows(PAGE["How it is computed"])

# how much narrower the vectors are than those of the machine that was measured, and what a core without dot products
# loses: 4.8 by TensorFlow Lite where 7-zip gives 1.87
NARROWER = {"Intel N100": 2}
WITHOUT_DOT_PRODUCT = ("Raspberry Pi 4", "Jetson Nano")
LOSS = 112.6 / 23.5 / (3305 / 1769)


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("row", COMPUTED, ids=lambda row: row[0])
def test_a_figure_is_computed_as_the_page_says(row: list[str]) -> None:
    name, _, mips, ratio, rest, models, together = row
    (base_rest,), (base_models,) = numbers(MEASURED[4]), numbers(MEASURED[5])
    exact = int(mips) / int(MEASURED[2])
    assert float(ratio) == pytest.approx(exact, abs=0.006)
    assert numbers(rest)[0] == pytest.approx(base_rest / exact, abs=1)
    loss = 2.6 if name.startswith(WITHOUT_DOT_PRODUCT) else 1
    narrower = next((times for key, times in NARROWER.items() if name.startswith(key)), 3)
    low = base_models / exact * loss
    assert numbers(models) == pytest.approx([low, low * narrower], abs=1.5)
    share = [(base_rest / exact + each) / 10 for each in (low, low * narrower)]
    assert numbers(together) == pytest.approx(share, abs=0.6)


def test_the_factor_is_that_of_the_published_figures() -> None:
    assert pytest.approx(LOSS, abs=0.05) == 2.6
    assert "takes 2.6 times as long" in " ".join(PAGE["How it is computed"].split())


def test_the_number_of_cameras_leaves_half_of_the_processor() -> None:
    most = {}
    for name, cores, *_, together in COMPUTED:
        most[re.sub(r"^NVIDIA |,.*", "", name)] = int(int(cores) * 50 // numbers(together)[-1])
    told = {re.sub(r"^NVIDIA |,.*", "", name): int(numbers(more)[0]) for name, _, more in rows(PAGE["In short"])}
    assert told == most
