"""Functions of a host, as tests run them: in a module that a worker can import."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from aiohttp_jobs import Functions, JobContext

jobs = Functions()


class Format(Enum):
    CSV = "csv"
    PDF = "pdf"


class Range(BaseModel):
    first: int
    last: int = 10


@jobs.function(
    title="Rebuild the search index",
    mode=["Runspace", "BackgroundJob"],
    roles={"librarian"},
    timeout=600,
    concurrency_key="index",
    old_names=["reindex"],
)
def rebuild(
    job: JobContext,
    index: Annotated[Literal["users", "orders"], Field(description="Which one.")],
    since: date | None = None,
    *,
    dry_run: bool = False,
) -> dict[str, int]:
    """Read all rows again and write the index anew."""
    job.progress(1.0)
    return {"rows": 0 if dry_run else 3}


@jobs.function(mode="MainLoop", roles={"authenticated"})
async def greet(job: JobContext, name: str) -> str:
    await asyncio.sleep(0)
    return f"{job.user} greets {name}"


@jobs.function(mode=["BackgroundJob", "MainLoop"])
async def login(user: str, password: SecretStr, note: SecretStr | None = None) -> int:
    print(user, password.get_secret_value())
    return len(password.get_secret_value())


@jobs.function(mode="BackgroundJob")
def report(
    rows: list[Annotated[int, Field(ge=0)]],
    price: Decimal,
    kind: Format = Format.CSV,
    pages: Range | None = None,
    tags: tuple[str, ...] = (),
) -> str:
    return f"{sum(rows) * price} {kind.value} {pages} {tags}"


def add(left: int, right: int) -> int:
    """Not a job."""
    return left + right
