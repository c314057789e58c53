"""What requests, bytes and hours cost, in dollars: list prices, or a user's own."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import Field

from pipeline.planning.toml_files import Figures, parse, read_bundled, read_file

HOURS_A_MONTH = 730
_NEARLY = 1.05


class StoragePrices(Figures):
    """Of object storage. A listing costs as much as a PUT."""

    storage_gb_month: float = Field(ge=0)
    gets_1000: float = Field(ge=0)
    puts_1000: float = Field(ge=0)


class TransferPrices(Figures):
    """Of a GB that leaves a bucket, by where it goes."""

    same_region: float = Field(ge=0, alias="same-region")
    other_region: float = Field(ge=0, alias="other-region")
    internet: float = Field(ge=0)


class DiskPrices(Figures):
    """Of a disk beside a machine."""

    gb_month: float = Field(ge=0)


class InstancePrice(Figures):
    """Of a machine by the hour, or of the share of one with one GPU."""

    usd_per_hour: float = Field(ge=0)


class ServerPrice(InstancePrice):
    """Of a machine that an index may be served from."""

    name: str
    gib: float = Field(gt=0)


class Prices(Figures):
    """All prices; `source` says whose and when. GB are 10^9 bytes, as in price lists."""

    source: str
    s3: StoragePrices
    transfer_gb: TransferPrices
    disk: DiskPrices
    instances: dict[str, InstancePrice] = Field(default_factory=dict)
    servers: list[ServerPrice] = Field(min_length=1)

    def transfer(self, name: str) -> float:
        """Dollars for a GB that goes so far."""
        return float(getattr(self.transfer_gb, name.replace("-", "_")))

    def usd_per_hour(self, instance: str) -> float | None:
        """Of a machine; None where no price of it is known."""
        price = self.instances.get(instance)
        return None if price is None else price.usd_per_hour

    def servers_for(self, gib: float) -> tuple[int, ServerPrice]:
        """How many of which server hold so much: the fewest for nearly the least money."""
        choices = [(max(1, math.ceil(gib / each.gib)), each) for each in self.servers]
        least = min(count * each.usd_per_hour for count, each in choices)
        cheap = (pair for pair in choices if pair[0] * pair[1].usd_per_hour <= least * _NEARLY)
        return min(cheap, key=lambda pair: (pair[0], pair[1].usd_per_hour))


def read_prices(path: Path | None) -> Prices:
    """The list prices, over which a user's file puts its own tables. Raises UsageError."""
    values = read_bundled("prices")
    if path is None:
        return parse(Prices, values, "the list prices")
    own = read_file(path, "prices")
    for name, value in own.items():
        known = values.get(name)
        values[name] = (
            known | value if isinstance(known, dict) and isinstance(value, dict) else value
        )
    values["source"] = own.get("source", f"{path}, and where it has none {values['source']}")
    return parse(Prices, values, f"the prices {path}")
