"""What a command meets in each mode: output, errors, environment, its own folder, an end with no remains."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..conftest import Host, is_alive
from ..gate import PATIENCE_SECONDS, until
from ..mainloop import SOON_SECONDS, python, short_python

pytestmark = pytest.mark.usefixtures("warm_workers")

StartHost = Callable[..., Awaitable[Host]]
MODES = ("MainLoop", "Runspace", "BackgroundJob")


def processes_with(word: str) -> list[str]:
    """Command lines of living processes that contain `word`."""
    found = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [line for line in found if word in line]


@pytest.mark.parametrize("mode", MODES)
async def test_python_errors_exits_and_values_are_alike_in_every_mode(host: Host, mode: str) -> None:
    caller = host.caller("debug")
    for command, output, status, code in (
        ("1 + 1", "2\n", "Succeeded", 0),
        ("x = 'a'\nx", "'a'\n", "Succeeded", 0),
        ("None", "", "Succeeded", 0),
        ("print('x')", "x\n", "Succeeded", 0),
        ("import asyncio\nawait asyncio.sleep(0.01)\nprint('later')", "later\n", "Succeeded", 0),
        ("import asyncio\nasync def f(): return 5\nawait f()", "5\n", "Succeeded", 0),
        ("import sys; print('o'); print('e', file=sys.stderr); print('p')", "o\ne\np\n", "Succeeded", 0),
        ("import sys; sys.exit()", "", "Succeeded", 0),
        ("exit(3)", "[ERROR] The command exited with code 3.\n", "Failed", 3),
        ("import sys; sys.exit('sorry')", "sorry\n", "Failed", 1),
        ("class A:\n  pass\nA.__module__, __name__", "('__main__', '__main__')\n", "Succeeded", 0),
    ):
        result = await caller.run(command, mode, interpreter="python")
        assert (result["Output"], result["Status"], result["ExitCode"]) == (output, status, code), command
    result = await caller.run("def f(:", mode, interpreter="python")
    assert result["Output"].startswith("[ERROR] ")
    assert "SyntaxError" in result["Output"]
    result = await caller.run("raise KeyboardInterrupt", mode, interpreter="python")
    assert (result["Status"], "KeyboardInterrupt" in result["Output"]) == ("Failed", True)
    assert (await caller.run("1", mode, interpreter="python"))["Success"] is True


@pytest.mark.parametrize("mode", MODES)
async def test_a_shell_has_its_environment_its_folder_and_an_empty_stdin(
    start_host: StartHost, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    host = await start_host(environment_extra={"COLOUR": "blue"})
    caller = host.caller("debug")
    result = await caller.run("env; cat; pwd; ls -A; touch litter; echo $COLOUR", mode)
    assert result["Success"] is True
    assert "hunter2" not in result["Output"]
    assert "DATABASE" not in result["Output"]
    assert f"AIOHTTP_JOBS_JOB_ID={result['JobID']}" in result["Output"]
    assert result["Output"].endswith("work\nblue\n")
    # Unlike `rglob`, it does not mind a folder that goes while it looks.
    await until(
        lambda: not any("litter" in names for _, _, names in os.walk(host.base_dir)),
        "removal of what the job has left",
    )


async def test_a_runspace_workers_own_environment_holds_no_secret(
    start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    caller = (await start_host()).caller("debug")
    command = "open('/proc/self/environ').read() + str(dict(__import__('os').environ))"
    assert "hunter2" not in (await caller.run(command, "Runspace", interpreter="python"))["Output"]


@pytest.mark.parametrize("interpreter", ["shell", "python"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_large_command_runs_and_never_shows_in_ps(host: Host, mode: str, interpreter: str) -> None:
    caller = host.caller("debug")
    filler = "# " + "x" * 200_000
    word = uuid.uuid4().hex  # whoever else runs this test on the machine has another
    look = (
        f"for f in /proc/[0-9]*/cmdline; do cat $f 2>/dev/null; done | grep -c {word[:-1]}[{word[-1]}]; true"
    )
    command = f"# {word}\n{filler}\n{look}"
    if interpreter == "python":
        call = f"s.run({look!r}, shell=True, capture_output=True, text=True).stdout"
        command = f"# {word}\n{filler}\nimport subprocess as s\n{call}"
    result = await caller.run(command, mode, interpreter=interpreter)
    assert result["Output"].strip() in ("0", r"'0\n'")


@pytest.mark.parametrize("mode", ["Runspace", "BackgroundJob"])
async def test_output_is_caught_below_python(host: Host, mode: str) -> None:
    command = (
        "import os, ctypes, subprocess, sys\n"
        "print('a'); os.write(1, b'b\\n'); os.system('echo c')\n"
        "subprocess.run(['echo', 'd']); os.write(2, b'e\\n')\n"
        "ctypes.CDLL(None).printf(b'f\\n')"
    )
    output = (await host.caller("debug").run(command, mode, interpreter="python"))["Output"]
    assert output.split()[:5] == ["a", "b", "c", "d", "e"]
    assert "f\n" in output


@pytest.mark.parametrize("mode", ["MainLoop", "Runspace", "BackgroundJob"])
async def test_a_timeout_ends_the_command_with_all_its_descendants(host: Host, mode: str) -> None:
    nap = f"98{MODES.index(mode)}{os.getpid()}"
    command = f"sleep {nap}1 & setsid sleep {nap}2 & (setsid sh -c 'sleep {nap}3' &) ; echo up; wait"
    result = await host.caller("debug").run(command, mode, timeoutSeconds=4)  # to print within
    assert result["Status"] == "TimedOut"
    assert result["Success"] is False
    assert result["Output"].startswith(
        "up\n[ERROR] The job was stopped: it ran longer than its limit of 4 s."
    )
    assert processes_with(f"sleep {nap}") == []


async def test_a_command_that_ignores_sigterm_is_killed(host: Host) -> None:
    result = await host.caller("debug").run(
        "trap '' TERM; echo up; while :; do sleep 1; done", timeoutSeconds=4
    )
    assert (result["Status"], result["Output"][:3]) == ("TimedOut", "up\n")


async def test_what_a_command_leaves_in_its_group_ends_with_it(host: Host) -> None:
    nap = f"97{os.getpid()}"
    result = await host.caller("debug").run(f"sleep {nap} & echo started")
    assert (result["Status"], result["Output"]) == ("Succeeded", "started\n")
    assert processes_with(f"sleep {nap}") == []


# --- Runspace


async def run_python(host: Host, command: str, user: str = "alice") -> dict[str, object]:
    return await host.caller("debug", user_id=user).run(command, "Runspace", interpreter="python")


async def runspaces(host: Host) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = (await host.caller("debug").request("GET", "/runspaces")).body[
        "runspaces"
    ]
    return workers


async def test_a_worker_is_warm_for_its_user_and_never_shared_with_another(
    start_host: StartHost,
) -> None:
    host = await start_host(max_parallel_runspace=1)
    pid = "import os; os.getpid()"
    mine = [(await run_python(host, pid))["Output"] for _ in range(3)]
    assert len(set(mine)) == 1
    await run_python(host, "import builtins; builtins.len = lambda _: 666; builtins.stolen = 1")
    other = await run_python(host, f"print(len([1]), hasattr(__builtins__, 'stolen')); {pid}", "bob")
    assert str(other["Output"]).startswith("1 False\n")
    assert str(other["Output"]).split("\n")[1] != str(mine[0]).strip()


async def test_each_job_has_a_fresh_namespace_and_surroundings(host: Host) -> None:
    await run_python(
        host, "import os, sys; x = 1; os.environ['LEAK'] = '1'; sys.path.append('/leak'); os.chdir('/tmp')"
    )
    result = await run_python(
        host,
        "import os, sys\n"
        "print('x' in globals(), 'LEAK' in os.environ, '/leak' in sys.path, os.getcwd() == '/tmp')",
    )
    assert result["Output"] == "False False False False\n"


async def test_each_job_gets_the_environment_as_it_was_whatever_the_last_did_to_it(host: Host) -> None:
    show = (
        "import subprocess as s; s.run(['/bin/sh', '-c', 'echo $PATH $HOME $LEAK'])\nimport os; os.getpid()"
    )
    before = await run_python(host, show)
    for change in (
        "os.environ['PATH'] = '/leak'; os.environ['LEAK'] = 'leak'; del os.environ['HOME']",
        "os.putenv('PATH', '/leak')",
        "os.environ = {'PATH': '/leak'}",
        "os.environb.clear()",
    ):
        await run_python(host, f"import os; {change}")
        after = await run_python(host, show.replace("os.getpid()", "os.environ['MINE'] = '1'; os.getpid()"))
        assert after["Output"] == before["Output"]
    seen = await run_python(host, "import os; print('MINE' in os.environ); os.system('echo -$MINE-')")
    assert str(seen["Output"]).split() == ["False", "--", "0"]


async def test_what_was_printed_before_the_streams_were_exchanged_is_kept_and_no_part_of_the_next_job(
    host: Host,
) -> None:
    first = await run_python(host, "import io, sys; print('mine'); sys.stdout = sys.stderr = io.StringIO()")
    following = await run_python(host, "print('next')")
    assert (first["Output"], following["Output"]) == ("mine\n", "next\n")


async def test_what_c_code_wrote_to_a_file_is_in_it_when_the_job_has_ended(
    host: Host, tmp_path: Path
) -> None:
    file = tmp_path / "from-c"
    call = f"c.fputs(b'written', ctypes.c_void_p(c.fopen({os.fsencode(file)!r}, b'w')))"
    await run_python(host, f"import ctypes; c = ctypes.CDLL(None); c.fopen.restype = ctypes.c_void_p; {call}")
    assert file.read_text() == "written"


async def test_a_worker_lets_go_of_what_a_job_put_in_the_place_of_its_streams(host: Host) -> None:
    result = await run_python(
        host,
        "import os, sys\nprint(os.getpid(), flush=True)\n"
        "sys.stdout = type('Odd', (), {'__eq__': lambda *_: 1 / 0, 'flush': lambda _: None})()\n"
        "for stream in (1, 2): _ = os.dup2(os.open('/dev/full', os.O_WRONLY), stream)",
    )
    assert result["Success"] is True
    pid = str(result["Output"]).strip()
    streams = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)]
    assert all(each.startswith("pipe:") for each in streams)


@pytest.mark.parametrize(
    ("command", "reason", "code"),
    [
        ("import os; print('so far'); os._exit(3)", "exited with code 3", 3),
        ("print('so far'); import ctypes; ctypes.string_at(0)", "ended by SIGSEGV", -11),
        ("print('so far'); import os; os.kill(os.getpid(), 9)", "ended by SIGKILL", -9),
        ("print('so far'); import os; os.closerange(3, 99); os._exit(0)", "exited with code 0", 1),
        (
            "print('so far'); import os, time; os.closerange(3, 99); time.sleep(60)",
            "ended by SIGKILL",
            -9,
        ),
    ],
)
async def test_a_worker_that_dies_is_replaced_and_its_job_says_so(
    host: Host, command: str, reason: str, code: int
) -> None:
    result = await run_python(host, command)
    assert (result["Status"], result["ExitCode"]) == ("Failed", code)
    assert str(result["Output"]).startswith("so far\n[ERROR] The worker process ")
    assert reason in str(result["Output"])
    assert (await run_python(host, "print('next')"))["Output"] == "next\n"


async def test_idle_workers_that_were_killed_are_all_replaced_and_none_stays_a_zombie(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(max_parallel_runspace=3)
    caller = host.caller("debug")
    killed = [psutil.Process(each["Worker"]) for each in await runspaces(host)]
    for process in killed:
        process.kill()
    # A job that is handed to one that has not died yet would rightly fail with it.
    await until(lambda: not any(is_alive(each.pid) for each in killed), "that they died")
    assert (await run_python(host, "print('next')"))["Output"] == "next\n"
    while any(process.is_running() for process in killed):  # a zombie is, until it is reaped
        await asyncio.sleep(0.02)
    assert (await caller.run("print('again')", "Runspace", interpreter="python"))["Output"] == "again\n"


async def test_a_worker_that_is_killed_while_it_waits_is_let_go_at_once(
    start_host: Callable[..., Awaitable[Host]],
) -> None:
    host = await start_host(max_parallel_runspace=3)
    first = psutil.Process((await runspaces(host))[0]["Worker"])
    first.kill()
    while len(await runspaces(host)) > 2 or first.is_running():
        await asyncio.sleep(0.02)
    assert (await run_python(host, "print('next')"))["Output"] == "next\n"


FIND_CONTROL, FIND_PIPE = (
    "import os, stat\n"
    "numbers = [n for n in range(3, 64) if os.path.exists(f'/proc/self/fd/{n}')]\n"
    f"{name} = next(n for n in numbers if stat.{check}(os.fstat(n).st_mode))\n"
    for name, check in (("control", "S_ISSOCK"), ("pipe", "S_ISFIFO"))
)
"""Code that finds one of the two descriptors over which a worker talks to its host."""


async def test_a_worker_that_speaks_out_of_turn_runs_nothing_more(host: Host) -> None:
    later = (
        FIND_CONTROL + "import signal\n"
        'lie = b\'{"exit_code": 7, "reusable": true}\'\n'
        "signal.signal(signal.SIGALRM, lambda *_: os.write(control, lie))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "os.getpid()"
    )
    liar = int(str((await run_python(host, later))["Output"]))
    while liar in [worker["Worker"] for worker in await runspaces(host)]:
        await asyncio.sleep(0.02)
    result = await run_python(host, "import os; os.getpid()")
    assert (result["ExitCode"], int(str(result["Output"])) != liar) == (0, True)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"no JSON", b"\xff\xfe", b"[" * 60_000, b"[]", b"{}", b"null", b"7",
        b'{"exit_code": 1e999, "reusable": true}', b'{"exit_code": NaN, "reusable": true}',
        b'{"exit_code": [], "reusable": true}', b'{"exit_code": "x", "reusable": true}',
        b'{"exit_code": ' + b"9" * 5000 + b', "reusable": true}',
        b'{"exit_code": ' + b"9" * 30 + b', "reusable": true}',
    ],
)  # fmt: skip
async def test_a_worker_that_talks_nonsense_costs_its_job_the_success_and_nothing_else(
    host: Host, nonsense: bytes
) -> None:
    result = await run_python(
        host, FIND_CONTROL + f"os.write(control, {nonsense!r}); import time; time.sleep(60)"
    )
    assert (result["Status"], result["Success"]) == ("Failed", False)
    assert (await run_python(host, "print('well')"))["Output"] == "well\n"


async def test_a_worker_whose_pipe_was_closed_is_replaced_before_the_next_job(host: Host) -> None:
    first = await run_python(host, FIND_PIPE + "os.close(pipe); os.getpid()")
    result = await run_python(host, "import os; os.getpid()")
    assert result["Success"]
    assert result["Output"] != first["Output"]


async def test_what_a_worker_prints_between_two_jobs_is_nobodys_output(host: Host, tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    later = (
        "import signal\n"
        f"def late(*_): os.write(pipe, b'late'); open({str(printed)!r}, 'w').close()\n"
        "signal.signal(signal.SIGALRM, late)\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\nos.getpid()"
    )
    first = await run_python(host, FIND_PIPE + later)
    while not printed.exists():
        await asyncio.sleep(0.01)
    second = await run_python(host, "import os; os.getpid()")
    assert second["Output"] == first["Output"]
    assert first["Output"].strip().isdigit()


async def test_much_output_of_one_job_does_not_reach_into_the_next(host: Host) -> None:
    for letter in "ab":
        result = await run_python(host, f"print('{letter}' * 3_000_000, end='')")
        assert (result["OutputSize"], set(result["Output"][:1000])) == (3_000_000, {letter})
        assert (await run_python(host, "print('next')"))["Output"] == "next\n"


async def test_workers_that_are_replaced_leave_no_descriptor_open(host: Host) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    debug, die = host.caller("debug"), "import os; os._exit(1)"  # of one client, which keeps connections
    await debug.run(die, "Runspace", interpreter="python")  # the first opens what stays
    before = descriptors()
    for _ in range(5):
        await debug.run(die, "Runspace", interpreter="python")
    while descriptors() > before:
        await asyncio.sleep(0.02)


async def test_killing_one_worker_does_not_touch_its_neighbour(host: Host) -> None:
    caller = host.caller("debug")
    steady = await caller.submit("import time; time.sleep(1); print('ok')", "Runspace", interpreter="python")
    await caller.run("while True: pass", "Runspace", interpreter="python", timeoutSeconds=0.3)
    assert (await caller.result(steady))["Output"] == "ok\n"


async def test_a_worker_that_a_job_left_children_in_is_replaced(host: Host) -> None:
    nap = f"96{os.getpid()}"
    pid = "import os; os.getpid()"
    before = (await run_python(host, pid))["Output"]
    await run_python(host, f"import subprocess; subprocess.Popen(['sleep', '{nap}'])")
    assert processes_with(f"sleep {nap}") == []
    assert (await run_python(host, pid))["Output"] != before


async def test_runspaces_work_in_a_host_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\nfrom aiohttp import web\nimport aiohttp_jobs\n"
        "from aiohttp_jobs.engine.embedded.api_keys import ApiKeys\n"
        "print('main script runs')\n"
        f"data = Path({str(tmp_path)!r})\n"
        "app = web.Application()\naiohttp_jobs.setup(app, aiohttp_jobs.JobsConfig(data_dir=data))\n"
        "async def use():\n"
        "    from tests.conftest import Host, Caller\n"
        "    runner = web.AppRunner(app); await runner.setup()\n"
        "    site = web.TCPSite(runner, '127.0.0.1', 0); await site.start()\n"
        "    config = app._subapps[0][next(k for k in app._subapps[0] if k._name.endswith('config'))]\n"
        "    host = Host(app, runner, config, f'http://127.0.0.1:{runner.addresses[0][1]}')\n"
        "    result = await host.caller('debug').run('6 * 7', 'Runspace', interpreter='python')\n"
        "    print(result['Output'], end='')\n"
        "    await host.stop()\n"
        "asyncio.run(use())\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert ended.stdout == "main script runs\n42\n", ended.stderr


# --- MainLoop


async def test_mainloop_python_is_in_the_server_itself(host: Host) -> None:
    command = "import threading, os\nprint(os.getpid(), threading.get_ident(), id(app))"
    result = await host.caller("debug").run(command, "MainLoop", interpreter="python")
    assert result["Output"] == f"{os.getpid()} {threading.get_ident()} {id(host.app)}\n"


async def test_what_the_host_prints_meanwhile_is_not_the_jobs(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout
    command = "import asyncio\nfor _ in range(10):\n    print('job'); await asyncio.sleep(0.02)"
    job_id = await host.caller("debug").submit(command, "MainLoop", interpreter="python")
    for _ in range(20):
        print("host")
        await asyncio.sleep(0.01)
    result = await host.caller("debug").result(job_id)
    assert result["Output"] == "job\n" * 10
    assert capsys.readouterr().out == "host\n" * 20
    assert sys.stdout is before


@pytest.mark.parametrize(
    "command",
    [
        "while True: pass",
        "while True:\n  try:\n    x = 1\n  except Exception: pass",
        "import time; time.sleep(60)",
        "[x for x in iter(int, 1)]",
        "import asyncio\nawait asyncio.sleep(0.01)\nwhile True: pass",
    ],
)
async def test_python_that_blocks_the_loop_is_stopped_and_the_server_goes_on(
    start_host: StartHost, command: str
) -> None:
    caller = (await start_host(mainloop_timeout=SOON_SECONDS)).caller("debug")
    result = await python(caller, command)
    assert result["Status"] == "TimedOut"
    assert result["Output"].startswith("[ERROR] The job blocked the event loop for more than 1 s")
    assert "watchdog.py" not in result["Output"]
    assert (await short_python(caller, "'on'"))["Output"] == "'on'\n"


async def test_waiting_is_not_blocking(host: Host) -> None:
    command = "import asyncio\nawait asyncio.sleep(1)\nprint('done')"
    result = await host.caller("debug").run(command, "MainLoop", interpreter="python")
    assert (result["Status"], result["Output"]) == ("Succeeded", "done\n")


async def test_a_job_that_raises_cancellederror_or_exits_does_not_harm_the_server(host: Host) -> None:
    caller = host.caller("debug")
    result = await caller.run(
        "import asyncio; raise asyncio.CancelledError", "MainLoop", interpreter="python"
    )
    assert (result["Status"], result["Success"]) == ("Failed", False)
    await caller.run("raise SystemExit(4)", "MainLoop", interpreter="python")
    assert (await caller.run("1", "MainLoop", interpreter="python"))["Success"] is True
