"""What the demo's application can do, offered as jobs: three functions, whose signatures become forms.

Running them, and what is shown of that, is the plugin's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal, TypedDict

from pydantic import Field, SecretStr

from aiohttp_jobs import Functions, JobContext

jobs = Functions()

_SECONDS_A_MONTH = 0.1
_STEPS = 60
_STEP_SECONDS = 1.0
_SOLD = {"north": (120, 95, 130, 142), "south": (80, 88, 79, 101)}


class Month(TypedDict):
    """One row of the report."""

    month: int
    sold: int
    revenue: float


@jobs.function(mode=["Runspace", "BackgroundJob"], roles={"authenticated"}, timeout=120)
def sales_report(
    job: JobContext,
    region: Annotated[Literal["north", "south"], Field(description="Whose sales.")],
    months: Annotated[int, Field(ge=1, le=24, description="How many of the last months.")] = 6,
    *,
    price: Annotated[float, Field(ge=0, description="Of one piece.")] = 9.5,
) -> list[Month]:
    """What a region has sold, month by month. Everybody who is signed in may run it."""
    rows: list[Month] = []
    for month in range(1, months + 1):
        job.progress((month - 1) / months, f"month {month} of {months}")
        time.sleep(_SECONDS_A_MONTH)  # a query would take as long
        sold = _SOLD[region][month % len(_SOLD[region])]
        rows.append({"month": month, "sold": sold, "revenue": sold * price})
    print(f"{sum(row['sold'] for row in rows)} sold in {region}")
    return rows


@jobs.function(mode=["Runspace", "MainLoop"], timeout=300, concurrency_key="archive")
async def tidy_archive(job: JobContext, *, dry_run: bool = False) -> dict[str, int]:
    """Takes a minute, one shelf a second, so that there is time to watch it and to cancel it."""
    tidied = 0
    try:
        for shelf in range(1, _STEPS + 1):
            job.progress((shelf - 1) / _STEPS, f"shelf {shelf} of {_STEPS}")
            await asyncio.sleep(_STEP_SECONDS)
            tidied += not dry_run
    except asyncio.CancelledError:
        print(f"Stopped after {tidied} shelves; the rest is as it was.")
        raise
    job.log.info("All shelves were looked at.")
    return {"shelves": _STEPS, "tidied": tidied}


@jobs.function(mode="BackgroundJob", title="Fetch a supplier's prices")
def fetch_prices(
    supplier: Annotated[str, Field(min_length=1, description="Any name: none answers.")],
    password: Annotated[SecretStr | None, Field(description="Kept encrypted, and never shown.")] = None,
) -> int:
    """Fails, so that there is a traceback to look at."""
    print(f"Asking {supplier} {'with' if password else 'without'} a password …")
    raise ConnectionError(f"{supplier} does not answer; this demo has no suppliers")
