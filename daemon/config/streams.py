"""The schema of `gates:` of a stream in config.yaml: when encoders rest."""

from typing import Annotated

from pydantic import Field, model_validator

from daemon.documents import Document
from daemon.manifest import Number

Part = Annotated[Number, Field(gt=0, le=1)]
Decibels = Annotated[Number, Field(gt=0, le=90)]
HoldSeconds = Annotated[Number, Field(ge=0, le=3600)]
KeepAliveSeconds = Annotated[Number, Field(gt=0, le=3600)]
PreRollSeconds = Annotated[Number, Field(ge=0, le=10)]


class MotionConfig(Document):
    """The gate of pictures: which part of the picture must have changed."""

    open: Part = 0.005
    close: Part = 0.0025
    hold_s: HoldSeconds = 1.0
    keep_alive_s: KeepAliveSeconds | None = None

    @model_validator(mode="after")
    def _is_ordered(self) -> "MotionConfig":
        if self.close > self.open:
            raise ValueError("close must not exceed open")
        return self


class SoundConfig(Document):
    """The gate of sound: by how much the level must differ from the floor."""

    open_db: Decibels = 9.0
    close_db: Decibels = 6.0
    hold_s: HoldSeconds = 1.0
    pre_roll_s: PreRollSeconds = 0.3
    keep_alive_s: KeepAliveSeconds | None = None

    @model_validator(mode="after")
    def _is_ordered(self) -> "SoundConfig":
        if self.close_db > self.open_db:
            raise ValueError("close_db must not exceed open_db")
        return self


class GatesConfig(Document):
    """The gates of one stream; None: the encoder takes everything."""

    motion: MotionConfig | None = None
    sound: SoundConfig | None = None
