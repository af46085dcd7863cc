"""What every part of a scenario is made of: the base of all models, and the plain types of their fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NameStr = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Label = Annotated[str, Field(pattern=r"^[^=,]+$")]
"""A key or value of a cohort."""


class Model(BaseModel):
    """Base of every scenario part: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
