"""What a session costs: the resources that AWS bills, and money where prices are known.

Belongs here: adding up, and telling. Does not belong here: prices; AWS has other ones in each region.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.settings import PRICES


@dataclass(frozen=True)
class Bill:
    """Billed hours of vCPUs, of gigabytes of memory, and of gigabytes of storage beyond what is free."""

    vcpu_hours: float = 0.0
    gb_hours: float = 0.0
    storage_gb_hours: float = 0.0

    @classmethod
    def of(cls, session: Mapping[str, Any]) -> Bill | None:
        """What AWS says of a session; None while it has not said it."""
        billed = session.get("billedResourceUtilization")
        if not billed:
            return None
        return cls(*(float(billed.get(name, 0)) for name in ("vCPUHour", "memoryGBHour", "storageGBHour")))

    def __add__(self, other: Bill) -> Bill:
        """Both together."""
        return Bill(
            self.vcpu_hours + other.vcpu_hours,
            self.gb_hours + other.gb_hours,
            self.storage_gb_hours + other.storage_gb_hours,
        )

    def cost(self, prices: Mapping[str, float]) -> float:
        """The estimate, in the currency of the prices of one unit of each of PRICES."""
        hours = dict(zip(PRICES, (self.vcpu_hours, self.gb_hours, self.storage_gb_hours), strict=True))
        return sum(prices[unit] * amount for unit, amount in hours.items())

    def metadata(self, prices: Mapping[str, float]) -> dict[str, float]:
        """Numbers for the UI; with money only if there are prices."""
        money = {"estimated cost of the run": round(self.cost(prices), 4)} if prices else {}
        return {
            "billed vCPU-hours of the run": round(self.vcpu_hours, 4),
            "billed GB-hours of the run": round(self.gb_hours, 4),
            "billed storage GB-hours of the run": round(self.storage_gb_hours, 4),
            **money,
        }

    def sentence(self, prices: Mapping[str, float]) -> str:
        """One line for the log."""
        money = f", which is {self.cost(prices):.4f} by the prices in STEDI_EMR_PRICES" if prices else ""
        return (
            f"EMR Serverless bills {self.vcpu_hours:.4f} vCPU-hours, {self.gb_hours:.4f} GB-hours and "
            f"{self.storage_gb_hours:.4f} storage GB-hours for this run{money}"
        )
