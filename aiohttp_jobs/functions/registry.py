"""Functions: the host's functions that are jobs, with their options.

Functions that could not run raise `ConfigurationError` when they are registered, or when the application
starts.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from pydantic import TypeAdapter, ValidationError

from ..errors import ConfigurationError
from ..model.functions import FUNCTION_NAME, HOST_USER, Checked
from ..model.job import ExecutionMode, Priority, RetryPolicy
from ..model.notice_rules import NotifyRules
from .context import JobContext

if TYPE_CHECKING:
    from .signature import Signature

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
H = TypeVar("H", bound=Callable[[], Any])

_VERSION = "[A-Za-z0-9._-]{1,64}"
IN_WORKERS = frozenset({ExecutionMode.RUNSPACE, ExecutionMode.BACKGROUND_JOB})
"""The modes in which another process has to find the function again, by its module and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionOptions:
    """How a function runs: the first of `modes`, unless a run asks for another. `timeout` is in seconds."""

    title: str
    name: str
    modes: tuple[ExecutionMode, ...]
    roles: frozenset[str] = frozenset()
    timeout: float | None = None
    concurrency_key: str | None = None
    priority: int | None = None
    labels: tuple[str, ...] = ()
    retry: RetryPolicy | None = None
    notify: NotifyRules = ()
    old_names: tuple[str, ...] = ()
    version: str | None = None
    cron: str | None = None
    timezone: str = "UTC"
    values: dict[str, Any] = field(default_factory=dict)
    user: str = HOST_USER


@dataclass(frozen=True, slots=True)
class BoundFunction(Generic[R_co]):
    """A function with its arguments, as JSON, to be passed to `submit`."""

    function: Function[..., Any]
    values: Checked = field(repr=False)


class Function(Generic[P, R]):
    """A function of the host that is a job.

    It can still be called directly, its context first if it takes one.
    """

    def __init__(self, function: Callable[..., Any], options: FunctionOptions, owner: Functions) -> None:
        self.plain = function
        """The function itself."""
        self.options = options
        self.owner = owner
        """Where it is registered, with what a worker is to call before it."""
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.plain(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.module}.{self.qualname} as job {self.name!r}>"

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def module(self) -> str:
        return self.plain.__module__

    @property
    def qualname(self) -> str:
        return self.plain.__qualname__

    @property
    def description(self) -> str:
        """The function's docstring."""
        return inspect.getdoc(self.plain) or ""

    @property
    def is_coroutine(self) -> bool:
        return inspect.iscoroutinefunction(self.plain)

    @cached_property
    def signature(self) -> Signature:
        from .signature import Signature  # noqa: PLC0415 - a host without functions does without it

        return Signature(self.plain)

    @cached_property
    def version(self) -> str:
        """Distinguishes releases that run side by side: the given version, or one derived from its parameters
        and modes.
        """
        if self.options.version is not None:
            return self.options.version
        modes = ",".join(sorted(self.options.modes))
        return hashlib.sha256(f"{modes} {self.signature.fingerprint}".encode()).hexdigest()[:12]

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> BoundFunction[R]:
        """The function with these arguments, which are validated now.

        Raises ``TypeError`` as a call would, and `InvalidFieldsError` for an invalid value.
        """
        return self._bound(args, kwargs) if args or kwargs else self._without_arguments

    @cached_property
    def _without_arguments(self) -> BoundFunction[R]:
        return self._bound((), {})

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BoundFunction[R]:
        return BoundFunction(self, self.signature.validate(self.signature.to_json(args, kwargs)))

    def check(self) -> None:
        """Raise `ConfigurationError` if the function could not run as a job."""
        self.signature.parameters  # noqa: B018 - read for what it raises
        if IN_WORKERS & set(self.options.modes):
            self._require_importable()

    def _require_importable(self) -> None:
        where = f"{self.module}.{self.qualname}"
        if self.module == "__main__":
            reason = "is in the program's main module, which a worker cannot import; put it into another one"
        elif "<lambda>" in self.qualname:
            reason = "is a lambda, which a worker cannot import; define it with a name"
        elif "<locals>" in self.qualname:
            reason = (
                "is inside another function, where a worker cannot import it; define it in the module itself"
            )
        elif _found(self.module, self.qualname) is not self:
            reason = (
                "is not what a worker would find under that name; decorate it where it is defined, and do "
                "not give the name to anything else"
            )
        else:
            return
        raise ConfigurationError(f"The function {where} {reason}, or let it run in MainLoop only.")


def _found(module: str, qualname: str) -> object:
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


class _Decorator(Protocol):
    """Makes a `Function`, whose values do not have the context that may come first."""

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], Awaitable[R]], /) -> Function[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> Function[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> Function[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


class Functions:
    """The host's functions that are jobs, to be passed to ``aiohttp_jobs.setup``."""

    def __init__(self) -> None:
        self._functions: dict[str, Function[..., Any]] = {}
        self._by_old_name: dict[str, Function[..., Any]] = {}
        self._on_worker_start: list[Callable[[], Any]] = []

    def __iter__(self) -> Iterator[Function[..., Any]]:
        """The functions in the order of their registration."""
        return iter(self._functions.values())

    def __len__(self) -> int:
        return len(self._functions)

    def get(self, name: str) -> Function[..., Any] | None:
        """The function with this current or former name; ``None`` if there is none."""
        return self._functions.get(name) or self._by_old_name.get(name)

    def function(
        self,
        *,
        title: str | None = None,
        name: str | None = None,
        mode: ExecutionMode | str | Sequence[ExecutionMode | str] = ExecutionMode.RUNSPACE,
        roles: Collection[str] = (),
        timeout: float | None = None,
        concurrency_key: str | None = None,
        priority: int | None = None,
        labels: Collection[str] = (),
        retry: RetryPolicy | None = None,
        notify: NotifyRules = (),
        old_names: Collection[str] = (),
        version: str | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        values: dict[str, Any] | None = None,
        user: str = HOST_USER,
    ) -> _Decorator:
        """A decorator that makes a function a job.

        `mode` is where it may run: one mode, or several with the default first. To run it, a user needs one
        of `roles`; without roles, the right to submit commands in that mode. `timeout` is in seconds.
        `labels` are those that a worker must have to run it, outside MainLoop and only over PostgreSQL.
        `old_names` are former names, for stored jobs and schedules. `version` distinguishes releases that run
        side by side but must not run each other's jobs; by default it changes with the parameters. `cron`, in
        `timezone`, schedules it with `values` as a job of `user`, who need not exist. Raises
        `ConfigurationError`; so does the decorator.
        """

        def register(function: Callable[..., Any]) -> Function[..., Any]:
            _require_function(function)
            own = name or function.__name__
            options = FunctionOptions(
                title=title or own.replace("_", " ").strip().capitalize(),
                name=own,
                modes=_modes(own, mode),
                roles=_texts(own, "roles", roles),
                timeout=timeout,
                concurrency_key=concurrency_key,
                priority=priority,
                labels=tuple(sorted(_texts(own, "labels", labels))),
                retry=retry,
                notify=notify,
                old_names=tuple(sorted(_texts(own, "old_names", old_names))),
                version=version,
                cron=cron,
                timezone=timezone,
                values=values or {},
                user=user,
            )
            return self._add(Function(function, options, self))

        return cast("_Decorator", register)

    def on_worker_start(self, start: H) -> H:
        """Call `start`, without arguments, once in each worker process before its first function."""
        self._on_worker_start.append(start)
        return start

    @property
    def worker_starts(self) -> Sequence[Callable[[], Any]]:
        """The functions given to `on_worker_start`, in that order."""
        return tuple(self._on_worker_start)

    def check(self) -> None:
        """Raise `ConfigurationError` for the first function that could not run."""
        for function in self:
            function.check()

    def _add(self, function: Function[..., Any]) -> Function[..., Any]:
        _require_options(function.options)
        if ExecutionMode.MAIN_LOOP in function.options.modes and not function.is_coroutine:
            raise ConfigurationError(
                f"The function {function.name} may run in MainLoop and is no coroutine function, so it would "
                "hold up the whole application: write 'async def', or let it run in other modes."
            )
        for each in (function.name, *function.options.old_names):
            other = self.get(each)
            if other is not None:
                raise ConfigurationError(
                    f"Two functions have the name {each}: {other.module}.{other.qualname} and "
                    f"{function.module}.{function.qualname}. Give one of them another with name='…'."
                )
        self._functions[function.name] = function
        self._by_old_name.update(dict.fromkeys(function.options.old_names, function))
        return function


def _require_function(function: Callable[..., Any]) -> None:
    if isinstance(function, type) or not hasattr(function, "__qualname__"):
        raise ConfigurationError(
            f"{function!r} is no function. Write one that calls it, and make that a job."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"The function {function.__qualname__} yields, so nothing of it would run when it is called as a "
            "job. Let it return what is to be kept."
        )


def _modes(name: str, mode: ExecutionMode | str | Sequence[ExecutionMode | str]) -> tuple[ExecutionMode, ...]:
    given = [mode] if isinstance(mode, str) else list(mode)
    try:
        modes = tuple(dict.fromkeys(ExecutionMode(each) for each in given))
    except ValueError:
        known = ", ".join(ExecutionMode)
        raise ConfigurationError(
            f"The function {name} has a mode that there is not; there are {known}."
        ) from None
    if not modes:
        raise ConfigurationError(f"The function {name} needs a mode in which it may run.")
    return modes


def _texts(name: str, what: str, given: Collection[str]) -> frozenset[str]:
    if isinstance(given, str) or not all(isinstance(each, str) and each for each in given):
        raise ConfigurationError(f"The {what} of the function {name} must be a set of texts.")
    return frozenset(given)


def _require_options(options: FunctionOptions) -> None:
    for each in (options.name, *options.old_names):
        if not re.fullmatch(FUNCTION_NAME, each):
            raise ConfigurationError(
                f"A function cannot be called {each!r} here, but by at most 64 ASCII letters, digits and "
                "underscores, with no digit first. Give it a name with name='…'."
            )
    if options.version is not None and not re.fullmatch(_VERSION, options.version):
        raise ConfigurationError(
            f"The version of the function {options.name} must have 1 to 64 ASCII letters, digits, dots, "
            "hyphens and underscores."
        )
    if options.timeout is not None and not options.timeout > 0:
        raise ConfigurationError(f"The timeout of the function {options.name} must be more than 0 seconds.")
    try:
        TypeAdapter(Priority | None).validate_python(options.priority)
    except ValidationError:
        raise ConfigurationError(f"The priority of the function {options.name} must be 0 to 9.") from None
