"""The schema of a model card: what the ML-BOM of a bundle says beyond its manifest. No I/O. See docs/own-models.md."""

from typing import Annotated

from pydantic import Field

from daemon.bundle.encoder_specs import FileName
from daemon.core.document import StrictModel

# beside the recipe of a bundle
CARD = "card.yaml"

Text = Annotated[str, Field(min_length=1, max_length=500)]


class DataSet(StrictModel):
    """A set of data, its licence, and what it was used for. `models` names the files that were trained on it."""

    name: Text
    licence: Text
    used_for: Text
    models: Annotated[list[FileName], Field(max_length=32)] = []


class Figure(StrictModel):
    """One measured number with its unit. `of` says on which data; `interval` has its bounds of 95 %."""

    what: Text
    value: Text
    of: Text | None = None
    interval: Annotated[list[Text], Field(min_length=2, max_length=2)] | None = None


class ModelCard(StrictModel):
    """What a bundle is for, what it is not good at, which data had a part in it, and how well it does."""

    purpose: Text | None = None
    limits: Annotated[list[Text], Field(max_length=50)] = []
    data: Annotated[list[DataSet], Field(max_length=100)] = []
    figures: Annotated[list[Figure], Field(max_length=200)] = []
