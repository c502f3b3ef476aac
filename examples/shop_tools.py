"""A shop as Python functions: `functions` in gateway.yaml names this file, and each marked function is a tool.

Orders are a JSON file in the folder SHOP_FOLDER. The gateway starts this module in a process of its own.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sealgate import ToolError, tool

PRICES = {"pencil": 120, "notebook": 450}

Item = Annotated[str, Field(description="What is sold: pencil or notebook.")]


@dataclass
class Order:
    """One order. The total is in cents."""

    number: int
    item: str
    count: int
    total: int
    cancelled: bool = False


@tool(mode="read_only", owner="shop")
def price(item: Item) -> int:
    """What one piece costs, in cents."""
    if item not in PRICES:
        raise ToolError(f"We do not sell that. We sell: {', '.join(PRICES)}")
    return PRICES[item]


@tool(mode="local_write", owner="shop")
def order(item: Item, count: Annotated[int, Field(ge=1, le=100)] = 1) -> Order:
    """Order some pieces."""
    orders = _orders()
    new = Order(len(orders) + 1, item, count, price(item) * count)
    _save([*orders, new])
    return new


@tool(mode="destructive", owner="shop")
async def cancel(number: Annotated[int, Field(description="The order's number.")]) -> Order:
    """Cancel an order. It cannot be taken back."""
    orders = _orders()
    found = next((one for one in orders if one.number == number), None)
    if found is None:
        raise ToolError("There is no such order.")
    found.cancelled = True
    _save(orders)
    return found


def _file() -> Path:
    return Path(os.environ["SHOP_FOLDER"]) / "orders.json"


def _orders() -> list[Order]:
    return [Order(**one) for one in json.loads(_file().read_text())] if _file().exists() else []


def _save(orders: list[Order]) -> None:
    _file().write_text(json.dumps([asdict(one) for one in orders]))
