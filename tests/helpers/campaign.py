"""How much of a long test runs: a part that the seed chooses, or all of it in scripts/test-campaigns."""

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
    """The seed that was asked for, or the commit that is checked out; a copy without git has always the same."""
    if asked := os.environ.get(SEED_VARIABLE):
        return asked
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no commit"


SEED = _seed()
os.environ[SEED_VARIABLE] = SEED  # child processes take the same
IS_CAMPAIGN = os.environ.get(CAMPAIGN_VARIABLE) == "1"


def chance(name: str) -> random.Random:
    """Random numbers that the seed decides, others for each name."""
    return random.Random(f"{SEED} {name}")


def repetitions(part: int, campaign: int) -> int:
    """How often to do something: `part` by default, `campaign` in a campaign."""
    return campaign if IS_CAMPAIGN else part


def share(items: Sequence[Item], part: int, name: str) -> list[Item]:
    """So many of the items, in their order, that the seed chooses; all of them in a campaign."""
    if IS_CAMPAIGN or part >= len(items):
        return list(items)
    return [items[index] for index in sorted(chance(name).sample(range(len(items)), part))]
