"""Which functions can be jobs, and what a host is told of those that cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from aiohttp import web

import aiohttp_jobs
from aiohttp_jobs import ConfigurationError, ExecutionMode, Functions, JobContext, JobsConfig
from tests.functions import sample


def test_a_function_may_still_be_called() -> None:
    jobs = Functions()
    added = jobs.function(mode="BackgroundJob")(sample.add)
    assert added(1, 2) == 3
    assert (added.__name__, added.__doc__) == ("add", "Not a job.")


def test_what_a_function_is_by_default() -> None:
    options = Functions().function()(sample.add).options
    assert (options.name, options.title, options.roles) == ("add", "Add", frozenset())
    assert options.modes == (ExecutionMode.RUNSPACE,)


def test_the_first_mode_is_the_default() -> None:
    assert sample.rebuild.options.modes == (ExecutionMode.RUNSPACE, ExecutionMode.BACKGROUND_JOB)


def test_functions_are_found_by_their_names_and_by_old_ones() -> None:
    assert sample.jobs.get("rebuild") is sample.rebuild
    assert sample.jobs.get("reindex") is sample.rebuild
    assert sample.jobs.get("add") is None
    assert [function.name for function in sample.jobs] == ["rebuild", "greet", "login", "report"]


def test_what_a_worker_is_to_do_first() -> None:
    jobs, calls = Functions(), []

    @jobs.on_worker_start
    def start() -> None:
        calls.append("started")

    for each in jobs.worker_starts:
        each()
    start()
    assert calls == ["started", "started"]


def test_a_plain_function_in_mainloop_is_refused_where_it_is_registered() -> None:
    with pytest.raises(ConfigurationError, match=r"add may run in MainLoop and is no coroutine function"):
        Functions().function(mode=["Runspace", "MainLoop"])(sample.add)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mode": "Elsewhere"}, "a mode that there is not; there are MainLoop, Runspace, BackgroundJob"),
        ({"mode": []}, "needs a mode"),
        ({"name": "2fast"}, "cannot be called '2fast' here"),
        ({"name": "a-b"}, "cannot be called 'a-b' here"),
        ({"name": "x" * 65}, "cannot be called"),
        ({"old_names": ["a b"]}, "cannot be called 'a b' here"),
        ({"old_names": "ab"}, "old_names of the function add must be a set of texts"),
        ({"roles": "admin"}, "roles of the function add must be a set of texts"),
        ({"timeout": 0}, "timeout of the function add must be more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout of the function add must be more than 0 seconds"),
        ({"priority": 10}, "priority of the function add must be 0 to 9"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Functions().function(**options)(sample.add)


def _yields() -> Iterator[int]:
    yield 1


async def _yields_too() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (partial(sample.add, 1), "is no function"),
        (Functions, "is no function"),
        (_yields, "_yields yields, so nothing of it would run"),
        (_yields_too, "_yields_too yields, so nothing of it would run"),
    ],
)
def test_what_is_no_function_is_refused(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Functions().function()(function)


@pytest.mark.parametrize("second", [{"name": "add"}, {"name": "plus"}, {"name": "x", "old_names": ["add"]}])
def test_two_functions_of_one_name_are_refused(second: dict[str, Any]) -> None:
    jobs = Functions()
    jobs.function(old_names=["plus"])(sample.add)
    with pytest.raises(ConfigurationError, match=r"Two functions have the name (add|plus): tests\.functions"):
        jobs.function(**second)(sample.add)


def _local() -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


def _of_main() -> Callable[..., Any]:
    def function() -> None: ...

    function.__module__, function.__qualname__ = "__main__", "function"
    return function


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: None, "is a lambda, which a worker cannot import"),
        (_local(), "is inside another function, where a worker cannot import it"),
        (_of_main(), "is in the program's main module, which a worker cannot import"),
        (sample.add, "is not what a worker would find under that name"),
    ],
)
def test_what_a_worker_could_not_import_is_refused_at_the_start(
    function: Callable[..., Any], why: str, tmp_path: Any
) -> None:
    jobs = Functions()
    jobs.function(name="it", mode="BackgroundJob")(function)
    with pytest.raises(ConfigurationError, match=why):
        aiohttp_jobs.setup(web.Application(), JobsConfig(data_dir=tmp_path), functions=jobs)


def test_what_only_runs_in_mainloop_need_not_be_imported(tmp_path: Any) -> None:
    jobs = Functions()

    @jobs.function(mode="MainLoop")
    async def inner(job: JobContext) -> None: ...

    aiohttp_jobs.setup(web.Application(), JobsConfig(data_dir=tmp_path), functions=jobs)


def test_a_parameter_that_no_form_can_ask_for_is_refused_at_the_start(tmp_path: Any) -> None:
    jobs = Functions()

    @jobs.function(mode="MainLoop")
    async def inner(value: Any) -> None: ...

    with pytest.raises(
        ConfigurationError, match=r"The parameter value of the function .* no form can ask for"
    ):
        aiohttp_jobs.create_jobs_app(JobsConfig(data_dir=tmp_path), functions=jobs)
