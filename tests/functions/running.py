"""Functions of a host that do what functions do, and what they should not, for workers to import."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from aiohttp_jobs import Functions, JobContext

jobs = Functions()
EVERYWHERE = ["Runspace", "BackgroundJob"]
WITH_LOOP = ["Runspace", "BackgroundJob", "MainLoop"]
opened: list[int] = []


@jobs.on_worker_start
def open_once() -> None:
    opened.append(os.getpid())


@jobs.on_worker_start
async def open_on_the_loop() -> None:
    await asyncio.sleep(0)
    opened.append(-os.getpid())


@jobs.function(mode=EVERYWHERE)
def nothing() -> None:
    pass


@jobs.function(mode=WITH_LOOP)
async def nothing_async() -> None:
    pass


@jobs.function(mode=EVERYWHERE)
def value(kind: str) -> Any:
    return VALUES[kind]()


@jobs.function(mode=WITH_LOOP)
async def value_async(kind: str) -> Any:
    return VALUES[kind]()


@jobs.function(mode=WITH_LOOP)
async def tell(job: JobContext, text: str, times: int = 1) -> dict[str, Any]:
    """Print, log and start a program, a few times."""
    for _ in range(times):
        print("printed", text)
        print("to stderr", text, file=sys.stderr)
        job.log.info("logged %s", text)
        logging.getLogger("some.library").warning("warned %s", text)
        await asyncio.to_thread(print, "in a thread", text)
        await asyncio.sleep(0.01)
    return {
        "id": job.id,
        "user": job.user,
        "attempt": job.attempt,
        "left": round(job.deadline.timestamp() - time.time()),
        "cancelled": job.cancelled.is_set(),
    }


@jobs.function(mode=EVERYWHERE)
def run_program(text: str) -> None:
    print("before", flush=True)
    subprocess.run(["sh", "-c", f"echo {text}; echo {text} >&2"], check=True)
    os.system(f"echo {text}")
    print("after")


@jobs.function(mode=WITH_LOOP)
async def has_app(job: JobContext) -> str:
    return type(job.app).__name__


class OwnError(Exception):
    pass


def raising(depth: int) -> None:
    if depth:
        raising(depth - 1)
    raise OwnError("this one\nwith two lines") from ValueError("its cause")


@jobs.function(mode=EVERYWHERE)
def fail() -> None:
    raising(1)


@jobs.function(mode=WITH_LOOP)
async def fail_async() -> None:
    await asyncio.sleep(0)
    raising(1)


@jobs.function(mode=WITH_LOOP)
async def exit_with(code: int | None = None, text: str | None = None) -> None:
    sys.exit(text if text is not None else code)


@jobs.function(mode=EVERYWHERE)
def wait_for_cancel(job: JobContext, started: str, seconds: float = 60) -> None:
    Path(started).touch()
    if job.cancelled.wait(seconds):
        print("cleaned up")


@jobs.function(mode=WITH_LOOP)
async def wait_async(job: JobContext, started: str) -> None:
    Path(started).touch()
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up", job.cancelled.is_set())


@jobs.function(mode=EVERYWHERE)
def never_listen(started: str) -> None:
    Path(started).touch()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)


@jobs.function(mode=WITH_LOOP)
async def never_listen_async(started: str) -> None:
    Path(started).touch()
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


@jobs.function(mode=WITH_LOOP)
async def block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 - that is what is tried


@jobs.function(mode=WITH_LOOP)
async def block_later(started: str, opened: str) -> None:
    Path(started).touch()
    while not os.path.exists(opened):
        await asyncio.sleep(0.02)
    time.sleep(30)  # noqa: ASYNC251 - that is what is tried


@jobs.function(mode=EVERYWHERE)
def die(how: str) -> None:
    print("dying", flush=True)
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL)


@jobs.function(mode=EVERYWHERE)
def leave(what: str, mark: str) -> int:
    """Leave something behind; the process that did."""
    if what == "child":
        subprocess.Popen(["sleep", mark])
    elif what == "daemon":
        subprocess.Popen(["sleep", mark], start_new_session=True)
    elif what == "thread":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    elif what == "fork" and os.fork() == 0:
        return -1
    elif what == "short thread":
        threading.Thread(target=time.sleep, args=(0.05,)).start()
    elif what == "surroundings":
        os.chdir("/")
        os.environ["LEFT_BEHIND"] = mark
        del os.environ["PATH"]
        sys.path.insert(0, "/left/behind")
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - left on purpose
    elif what == "variables of the job":
        os.environ["AIOHTTP_JOBS_USER_ID"] = mark
    elif what == "another variable in place of the job's":
        del os.environ["AIOHTTP_JOBS_USER_ID"]
        os.environ["LEFT_BEHIND"] = mark
    return os.getpid()


@jobs.function(mode=WITH_LOOP)
async def leave_async(what: str) -> int:
    if what == "task":
        jobs_left.append(asyncio.create_task(asyncio.sleep(60)))
    elif what == "thread":
        await asyncio.to_thread(time.sleep, 0.01)
    return os.getpid()


jobs_left: list[Any] = []


@jobs.function(mode=WITH_LOOP)
async def surroundings() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "folder": os.path.basename(os.getcwd()),
        "job": os.environ.get("AIOHTTP_JOBS_JOB_ID"),
        "user": os.environ.get("AIOHTTP_JOBS_USER_ID"),
        "left": os.environ.get("LEFT_BEHIND"),
        "has_path": "PATH" in os.environ,
        "path": "/left/behind" in sys.path,
        "host": os.environ.get("ONLY_THE_HOSTS"),
        "opened": opened == [os.getpid(), -os.getpid()],
        "tasks": len(asyncio.all_tasks()),
    }


@jobs.function(mode=WITH_LOOP)
async def flood(lines: int) -> int:
    text = "x" * 99
    for number in range(lines):
        print(text)
        if number % 100 == 0:
            await asyncio.sleep(0)  # or it would hold up the loop
    return lines


@jobs.function(mode=WITH_LOOP)
async def count(job: JobContext, steps: int, opened: str) -> None:
    for step in range(steps + 1):
        job.progress(step / steps, f"step {step}")
        await asyncio.sleep(0.001)
    while not await asyncio.to_thread(os.path.exists, opened):
        await asyncio.sleep(0.02)
    job.progress(None, "nearly done")


@jobs.function(mode=WITH_LOOP)
async def keep_secret(password: SecretStr, number: SecretStr) -> Any:
    print("the password is", password.get_secret_value())
    return {"password": password.get_secret_value(), "n": int(number.get_secret_value())}


VALUES: dict[str, Any] = {
    "none": lambda: None,
    "table": lambda: [{"name": "a", "rows": 1}, {"name": "b", "rows": 2}],
    "text": lambda: "größe",
    "false": lambda: False,
    "large": lambda: "x" * 70_000,
    "just": lambda: "x" * (64 * 1024 - 2),
    "no json": object,
    "nan": lambda: float("nan"),
}
