"""The host's functions in the page's tests, in a module that a worker can import."""

from __future__ import annotations

import os
import time
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr

from aiohttp_jobs import Functions, JobContext

jobs = Functions()


class Span(BaseModel):
    first: int
    last: int = 10


@jobs.function(title="Every kind", mode=["BackgroundJob", "Runspace"], roles={"task_manager"})
def every_kind(
    text: Annotated[str, Field(min_length=2, pattern="[a-z]", description="With a letter in it.")],
    count: Annotated[int, Field(ge=-3, le=9)],
    colour: Literal["red", "green"],
    rows: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=3)],
    ratio: float = 0.5,
    price: Decimal = Decimal("1.10"),
    really: bool = False,
    maybe: bool | None = None,
    size: Literal[1, 2] = 1,
    day: date | None = None,
    at: datetime | None = None,
    hour: time_of_day | None = None,
    who: UUID | None = None,
    words: list[str] | None = None,
    span: Span | None = None,
    limit: int | None = 5,
    note: str = "none",
    password: SecretStr | None = None,
) -> dict[str, Any]:
    """Takes whatever a form can ask for.

    And says so again.
    """
    return {"text": text, "count": count}


@jobs.function(
    title="Tidy up",
    mode="BackgroundJob",
    roles={"task_manager"},
    cron="0 3 * * *",
    timezone="Europe/Berlin",
    values={"shelf": 3},
    user="alice",
)
def tidy_up(shelf: int) -> None:
    """By the clock, as the code says."""


@jobs.function(title="Wait for a file", mode="BackgroundJob", roles={"task_manager"})
def wait_for(job: JobContext, path: str) -> list[dict[str, Any]]:
    """Half of it is done until there is the file."""
    job.progress(0.5, "half of it")
    while not os.path.exists(path):
        time.sleep(0.02)
    print("there it is")
    return [{"row": 1, "name": "<b>one</b>"}, {"row": 2, "name": None, "more": [1, 2]}]


@jobs.function(title="Fail", mode="BackgroundJob", roles={"task_manager"})
def fail(why: str) -> None:
    raise RuntimeError(why)
