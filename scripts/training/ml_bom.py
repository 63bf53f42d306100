"""Writes the ML-BOM of models/digits from its manifest, its files and the card: `python -m training.ml_bom`."""

from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.ml_bom_file import write_ml_bom
from daemon.bundle.model_card import ModelCard
from daemon.core.document import load_document

CARD = Path(__file__).with_name("card.yaml")
DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits"


def write_ml_bom_of(directory: Path) -> None:
    """Write the ML-BOM of the bundle in `directory`."""
    write_ml_bom(directory, load_bundle(directory).manifest, load_document(CARD, ModelCard).document)


if __name__ == "__main__":
    write_ml_bom_of(DIGITS)
