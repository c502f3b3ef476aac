"""What every block of gateway.yaml is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Strict

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]


class Block(BaseModel):
    """A block of keys: all are known, none can change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
