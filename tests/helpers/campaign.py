"""How much of a long test runs: a part that the seed selects, or all of it in scripts/test-campaigns."""

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
SEED_VARIABLE, CAMPAIGN_VARIABLE = "PERCEPTD_TEST_SEED", "PERCEPTD_TEST_CAMPAIGN"

Item = TypeVar("Item")


def _seed() -> str:
    """Return the requested seed, or the commit that is checked out, or a constant in a copy without git."""
    if requested := os.environ.get(SEED_VARIABLE):
        return requested
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no commit"


SEED = _seed()
os.environ[SEED_VARIABLE] = SEED  # for child processes
IS_CAMPAIGN = os.environ.get(CAMPAIGN_VARIABLE) == "1"


def chance(name: str) -> random.Random:
    """Return a random generator seeded by the seed and the name."""
    return random.Random(f"{SEED} {name}")


def repetitions(part: int, campaign: int) -> int:
    """Return the number of repetitions: `part` by default, `campaign` in a campaign."""
    return campaign if IS_CAMPAIGN else part


def share(items: Sequence[Item], part: int, name: str) -> list[Item]:
    """Return `part` of the items, selected by the seed and in their order; all of them in a campaign."""
    if IS_CAMPAIGN or part >= len(items):
        return list(items)
    return [items[index] for index in sorted(chance(name).sample(range(len(items)), part))]
