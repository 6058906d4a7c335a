"""The door: MainLoop Python, which runs in the host itself and could hold it up or leave it changed."""

from __future__ import annotations

import asyncio
import gc
import io
import locale
import logging
import os
import signal
import socket
import sys
import textwrap
import threading
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Host
from ..gate import Gate
from ..mainloop import SOON_SECONDS, python, short_python

StartHost = Callable[..., Awaitable[Host]]

SWALLOW: dict[str, str] = {
    "computing": """
        while True:
            try: sum(range(1000))
            except BaseException: pass
    """,
    "sleeping": """
        import time
        while True:
            try: time.sleep(3600)
            except BaseException: pass
    """,
    "calling": """
        def work(): return 1
        while True:
            try: work(); work()
            except: work()
    """,
    "one in the other": """
        import time
        def inner():
            while True:
                try: time.sleep(0.01)
                except BaseException: pass
        def middle():
            while True:
                try: inner()
                except BaseException: pass
        while True:
            try: middle()
            except BaseException: pass
    """,
    "one in the other, in one function": """
        import time
        while True:
            try:
                while True:
                    try:
                        while True:
                            try: time.sleep(3600)
                            except BaseException: pass
                    except BaseException: pass
            except BaseException: pass
    """,
    "finally": """
        import time
        try:
            while True: pass
        finally:
            while True:
                try: time.sleep(3600)
                finally: continue
    """,
    "calling itself": """
        import time
        def again(depth):
            try:
                if depth: again(depth - 1)
                time.sleep(3600)
            except BaseException:
                again(2)
        again(3)
    """,
    "a generator": """
        import time
        def numbers():
            while True:
                try: yield time.sleep(3600)
                except BaseException: pass
        while True:
            try:
                for each in numbers(): pass
            except BaseException: pass
    """,
    "waiting for a lock": """
        import threading
        lock = threading.Lock()
        lock.acquire()
        while True:
            try: lock.acquire()
            except BaseException: pass
    """,
    "logging": """
        import logging
        while True:
            try: logging.getLogger("job").debug("x")
            except BaseException: pass
    """,
    "with a long switch interval": """
        import sys
        sys.setswitchinterval(1000)
        while True: pass
    """,
    "with a long switch interval, again and again": """
        import sys
        while True:
            try:
                sys.setswitchinterval(1000)
                sum(range(1000))
            except BaseException: pass
    """,
    "without the signal": """
        import signal
        signal.signal(signal.SIGURG, signal.SIG_IGN)
        while True: sum(range(1000))
    """,
    "with a trace function": """
        import sys, time
        sys.settrace(lambda *_: time.sleep(3600))
        def work(): return 1
        work()
    """,
}


@pytest.fixture
async def strict(start_host: StartHost) -> Host:
    """A host that soon stops what blocks its loop."""
    return await start_host(mainloop_timeout=SOON_SECONDS)


@pytest.mark.parametrize("case", SWALLOW)
async def test_nobody_holds_up_the_host_by_catching_what_stops_the_job(strict: Host, case: str) -> None:
    debug = strict.caller("debug")
    before, trace = sys.getswitchinterval(), sys.gettrace()
    result = await python(debug, SWALLOW[case])
    assert (result["Status"], "was stopped" in result["Output"]) == ("TimedOut", True), result["Output"]
    assert (sys.getswitchinterval(), sys.gettrace()) == (before, trace)
    # Nothing is left that would hit the next one, or the host.
    for _ in range(5):
        assert (await short_python(debug, "sum(range(1000))"))["Output"] == "499500\n"


async def test_a_job_that_catches_its_cancellation_is_over_all_the_same(strict: Host, tmp_path: Path) -> None:
    debug, marks = strict.caller("debug"), tmp_path / "marks"
    command = f"""
        import asyncio
        while True:
            try:
                with open({str(marks)!r}, "a") as file: file.write("x")
                await asyncio.sleep(0.01)
            except BaseException:
                await asyncio.sleep(0)
    """
    job_id = await debug.submit(textwrap.dedent(command), "MainLoop", interpreter="python")
    while not marks.exists():
        await asyncio.sleep(0.01)
    assert (await debug.request("POST", f"/jobs/{job_id}/cancel")).status == 202
    assert (await debug.result(job_id))["Status"] == "Cancelled"
    assert (await short_python(debug, "1"))["Success"] is True
    size = marks.stat().st_size
    await asyncio.sleep(0.1)
    assert marks.stat().st_size == size


def state() -> dict[str, Any]:
    """What of this process a job might leave changed."""
    loop = asyncio.get_running_loop()
    return {
        "folder": os.getcwd(),
        "umask": Path("/proc/self/status").read_text().partition("\nUmask:")[2].split()[0],
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "trace": (sys.gettrace(), threading.gettrace()),
        "profile": (sys.getprofile(), threading.getprofile()),
        "signals": [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)],
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "loop": (loop.get_debug(), loop.get_exception_handler(), loop.get_task_factory()),
        "slow": loop.slow_callback_duration,
        "timer": signal.getitimer(signal.ITIMER_VIRTUAL),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "environ": dict(os.environ),
        "path": list(sys.path),
        "filters": list(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "socket": socket.getdefaulttimeout(),
        "builtins": (open, print, len),
    }


LEAVE = r"""
import asyncio, builtins, gc, io, locale, os, signal, socket, sys, threading, warnings
def nothing(*_): return None
os.chdir("/")
os.umask(0)
sys.setswitchinterval(100)
sys.setrecursionlimit(5000)
threading.settrace(nothing); threading.setprofile(nothing)
sys.settrace(nothing); sys.setprofile(nothing)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, nothing)
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.excepthook = sys.unraisablehook = sys.displayhook = threading.excepthook = nothing
sys.stdin = sys.stdout = sys.stderr = io.StringIO()
loop = asyncio.get_running_loop()
loop.set_debug(not loop.get_debug())
loop.set_exception_handler(nothing)
loop.slow_callback_duration = 1e9
gc.disable(); gc.set_threshold(2000, 20, 20)
os.environ["LEFT_BEHIND"] = "x"; os.environ["HOME"] = "/nowhere"; os.environ.pop("PATH", None)
sys.path.insert(0, "/nowhere"); sys.path.append("/nowhere")
warnings.simplefilter("ignore")
locale.setlocale(locale.LC_ALL, "C.UTF-8")
socket.setdefaulttimeout(0.001)
builtins.print = nothing
"""
ENDINGS = {
    "ended": "",
    "failed": "raise ValueError('no')",
    "exit": "raise SystemExit(3)",
    "blocked": "import time\nwhile True: time.sleep(3600)",
    "waited": "await asyncio.sleep(0.05)\nawait asyncio.sleep(0.05)",
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_nothing_that_a_job_changed_of_the_host_stays(host: Host, ending: str) -> None:
    debug, before = host.caller("debug"), state()
    try:
        await debug.run(LEAVE + ENDINGS[ending], "MainLoop", interpreter="python")
        after = state()
        assert {name for name in before if before[name] != after[name]} == set()
    finally:
        os.chdir(before["folder"])


async def test_an_interrupt_of_the_host_reaches_it_while_a_job_runs(host: Host) -> None:
    debug, heard = host.caller("debug"), list[int]()
    # As asyncio's Runner has it.
    handler = partial(lambda told, number, _frame: told.append(number), heard)
    before = signal.signal(signal.SIGINT, handler)
    try:
        for more in ("", "signal.signal(signal.SIGINT, signal.SIG_IGN)"):
            heard.clear()
            command = f"import signal\nsignal.raise_signal(signal.SIGINT)\n{more}"
            assert (await short_python(debug, command))["Success"] is True
            assert set(heard) == {signal.SIGINT}
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


async def test_what_a_job_removes_does_not_hide_what_else_it_changes(host: Host) -> None:
    before = state()
    command = "import sys\ndel sys.displayhook\nsys.excepthook = sys.unraisablehook = print"
    assert (await python(host.caller("debug"), command))["Success"] is True
    assert {name for name, value in state().items() if value != before[name]} == set()


async def test_a_job_leaves_the_host_so_that_nobody_can_trace_it(host: Host) -> None:
    def called() -> int:
        return 1

    before = sys.gettrace()
    assert (await python(host.caller("debug"), "1"))["Output"] == "1\n"
    assert (await python(host.caller("debug"), "while True: pass"))["Status"] == "TimedOut"
    sys.settrace(lambda *_: None)
    try:
        # It went on for ever on Python 3.11. The signal is for that case.
        signal.alarm(20)
        assert called() == 1
    finally:
        signal.alarm(0)
        sys.settrace(before)


async def test_a_job_that_never_rests_does_not_hide_what_it_changes(host: Host) -> None:
    command = """
        import asyncio, os
        for number in range(3000):
            await asyncio.sleep(0)
            os.environ["LEFT_BEHIND"] = str(number)
    """
    assert (await python(host.caller("debug"), command))["Success"] is True
    assert "LEFT_BEHIND" not in os.environ


async def test_what_the_host_changes_meanwhile_is_not_undone(host: Host, tmp_path: Path) -> None:
    gate, debug = Gate(tmp_path / "gate"), host.caller("debug")
    command = "import os\nos.environ['OF_THE_JOB'] = 'job'\nos.environ['OF_BOTH'] = 'job'\n"
    job_id = await debug.submit(command + gate.awaiting_python, "MainLoop", interpreter="python")
    await gate.reached()
    try:
        assert os.environ["OF_THE_JOB"] == "job"
        os.environ["OF_THE_HOST"] = os.environ["OF_BOTH"] = "host"
        gate.open()
        await debug.result(job_id)
        assert [os.environ.get(f"OF_{name}") for name in ("THE_JOB", "THE_HOST", "BOTH")] == [
            None,
            "host",
            "host",
        ]
    finally:
        os.environ.pop("OF_THE_HOST", None)
        os.environ.pop("OF_BOTH", None)


@pytest.mark.parametrize("lock", ["logging._lock", "logging.root.handlers[-1]"])
async def test_a_job_that_keeps_the_locks_of_the_log_silences_nobody(host: Host, lock: str) -> None:
    """As one does that is stopped while it logs."""
    handler = logging.StreamHandler(io.StringIO())
    logging.root.addHandler(handler)
    try:
        keeps = f"import logging\n{lock}.acquire()\nwhile True: pass"
        assert (await python(host.caller("debug"), keeps))["Status"] == "TimedOut"
        logger = logging.getLogger(f"never used before {lock}")
        others = threading.Thread(target=logger.error, args=("heard",), daemon=True)
        others.start()
        await asyncio.to_thread(others.join, 30)
        assert not others.is_alive()
    finally:
        logging.root.removeHandler(handler)
