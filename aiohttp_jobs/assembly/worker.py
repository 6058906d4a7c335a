"""A worker put together: an engine without HTTP, which claims jobs of a database and runs them.

Its options are left to ``cli.worker``, deciding what may run to ``access``, running to the engine. Sending
notices, firing schedules and MainLoop stay with hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..access.current_roles import CurrentRoles, RightsCheck
from ..access.functions import FunctionRights
from ..access.pick_up import PickUpCheck
from ..access.policy import AccessPolicy
from ..access.templates import TemplateRights
from ..config import JobsConfig
from ..doctor.at_start import cannot_start, require_private_data_folder, require_usable_storage, warn_of_root
from ..engine.postgres import postgres_needed
from ..errors import ConfigurationError, StorageUnavailableError
from ..functions.registry import Functions
from ..model.field_faults import what_is_wrong
from ..model.job import ExecutionMode, Labels
from ..monitoring.counting import workers_present
from ..monitoring.instrumentation import Instrumentation
from ..monitoring.service_manager import ServiceManager
from ..notify.outbox import Outbox
from ..system.closing import Closing
from ..system.operating_system import require_supported_system
from ..system.owned_tasks import end_tasks
from ..system.secret_box import Vault
from ..system.storage_state import StorageState
from ..worker.modes import ExecutionModes

if TYPE_CHECKING:
    from ..engine.postgres.host_rights import RightsTables
    from ..engine.postgres.offers import WorkerOptions

T = TypeVar("T")

_AGAIN_SECONDS = 1.0
_SAY_SECONDS = 2.0
_PLACES = {"runspace": ExecutionMode.RUNSPACE, "background": ExecutionMode.BACKGROUND_JOB}
_NO_RESOLVER = (
    "The hosts of this database ask a roles_resolver who has which role now, and this worker has none, so it "
    "could only go by the roles of yesterday. Give it the hosts' configuration: --config myapp.jobs:config."
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRequest:
    """What a worker is asked to be. `places` are jobs at once by ``runspace`` and ``background``, `config` is
    ``module:name`` of a `JobsConfig`, or of what returns one; `settings` are some of the configuration's own.
    """

    name: str
    labels: Sequence[str] = ()
    places: Mapping[str, int] = field(default_factory=dict)
    imports: Sequence[str] = ()
    config: str | None = None
    app_dir: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_worker(request: WorkerRequest, say: Callable[[str], None]) -> None:
    """Run a worker until it is told to end; `say` is given what a person wants to know, line by line.

    Raises `ConfigurationError`. Blocks.
    """
    require_supported_system()
    if request.app_dir is not None:
        sys.path.insert(0, os.path.abspath(request.app_dir))
    config = _config_of(request)
    functions = _imported(request.imports)
    with postgres_needed():
        from ..engine.postgres.offers import WorkerOptions  # noqa: PLC0415 - others need not have psycopg
    options = WorkerOptions(
        name=request.name, labels=_labels(request.labels), places=_places(config, request)
    )
    asyncio.run(WorkerProgram(config, functions, options, has_own_rights=request.config is not None).run(say))


class WorkerProgram:
    """One worker. Nothing is started, and no file made, before it runs.

    One that `has_own_rights` goes by `config`'s tables of roles, any other by those of the hosts. Raises
    `ConfigurationError`.
    """

    def __init__(
        self, config: JobsConfig, functions: Functions, options: WorkerOptions, *, has_own_rights: bool
    ) -> None:
        with postgres_needed():
            from ..engine.postgres.engine import PostgresEngine  # noqa: PLC0415 - others need not have psycopg
        functions.check()
        self._config = config
        self._options = options
        self._functions = functions
        self._has_own_rights = has_own_rights
        self._modes = ExecutionModes(config, lambda: None, functions)
        self._storage = StorageState(config.base_dir)
        self._vault = Vault(config.keys)
        self._engine = engine = PostgresEngine(
            config, self._modes, self._storage, self._vault, as_worker=options
        )
        self._policy = AccessPolicy(config)
        self._current = CurrentRoles(config)
        rights = RightsCheck(self._policy, engine.keys_at_pick_up, self._current)
        check = PickUpCheck(
            None,
            rights,
            TemplateRights(self._policy, engine.records.templates, rights, self._vault),
            FunctionRights(self._policy, functions, rights, self._vault),
        )
        self._outbox = Outbox(engine.records.notices, engine.history, storage=self._storage)
        self._instrumentation = Instrumentation(
            config, engine, self._storage, lambda: workers_present(self._modes.warm_workers())
        )
        engine.on_rights = self._hear_rights
        engine.connect(check, self._outbox, self._instrumentation.observer)
        self._ending = asyncio.Event()
        self._problem: str | None = None
        self._tables: RightsTables | None = None
        self._manager = ServiceManager() if config.systemd_notify else ServiceManager({})

    async def run(self, say: Callable[[str], None]) -> None:
        """Until SIGTERM or SIGINT, or until somebody drains it. Raises `ConfigurationError`."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._asked_to_end)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._manager.close)
            try:
                is_open = await self._open(stack, Closing())
            except StorageUnavailableError as error:
                raise cannot_start(error) from None
            if not is_open:
                return
            self._manager.ready()
            say(self._described())
            await self._until_it_ends(say)
        if self._problem is not None:
            raise ConfigurationError(self._problem)

    # --- the tables of roles

    def _hear_rights(self, tables: RightsTables) -> None:
        if tables != self._tables:
            self._adopt(tables)
            if self._problem is not None:
                _logger.error("%s", self._problem)
                self._engine.begin_closing()  # what was claimed just now is left to others
                self._ending.set()

    def _adopt(self, tables: RightsTables) -> None:
        self._tables = tables
        if tables.asks_resolver and not self._current.has_resolver:
            self._problem = _NO_RESOLVER
        elif not self._has_own_rights:
            self._policy.adopt(tables.modes, tables.rights)

    async def _hosts_tables(self) -> RightsTables | None:
        """What the hosts say, once one has started; ``None`` when this worker is to end before."""
        has_said = False
        while not self._ending.is_set():
            try:
                found = await asyncio.to_thread(self._engine.host_rights.now)
            except StorageUnavailableError as error:
                self._storage.report(error, _logger, "Cannot ask whether a host has started; trying again")
            else:
                if found is not None:
                    return found
                if not has_said:
                    _logger.warning("No host has started on this database yet: waiting for one.")
                    has_said = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._ending.wait()
        return None

    # --- beginning and ending

    async def _open(self, stack: AsyncExitStack, closing: Closing) -> bool:
        """Open all parts; false when this worker is to end already. Raises `ConfigurationError`."""
        await self._look_before_starting()
        stack.push_async_callback(self._current.close)
        self._storage.open()
        stack.push_async_callback(self._storage.close)
        stack.callback(self._outbox.close)
        if not await self._unless_it_ends(self._engine.open(stack, closing.close)):
            return False
        await asyncio.to_thread(self._vault.open)
        tables = await self._hosts_tables()
        if tables is None:
            return False
        self._adopt(tables)
        if self._problem is not None:
            raise ConfigurationError(self._problem)
        await self._modes.open(stack, closing, self._engine.instance_id)
        self._engine.start(stack, closing.close)
        self._engine.follow((), stack, closing.close)
        self._instrumentation.open(stack, closing.close)
        return True

    async def _unless_it_ends(self, opening: Coroutine[Any, Any, None]) -> bool:
        """Do what may take long; false when this worker is told to end before it is done."""
        opened = asyncio.create_task(opening, name="aiohttp-jobs-opening")
        ending = asyncio.create_task(self._ending.wait(), name="aiohttp-jobs-ending")
        try:
            await asyncio.wait({opened, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            if not opened.done():
                opened.cancel()
                await asyncio.wait({opened})
        if opened.cancelled():
            return False
        opened.result()
        return True

    async def _look_before_starting(self) -> None:
        config = self._config
        warn_of_root()
        await asyncio.to_thread(
            require_private_data_folder,
            config.data_dir,
            allow_unsigned=False,
            allow_shared=config.allow_shared_data_dir,
        )
        await asyncio.to_thread(require_usable_storage, config.base_dir, config.min_free_bytes)

    async def _until_it_ends(self, say: Callable[[str], None]) -> None:
        ending = asyncio.create_task(self._ending.wait(), name="aiohttp-jobs-ending")
        drained = asyncio.create_task(self._engine.drained(), name="aiohttp-jobs-drained")
        idle = asyncio.create_task(self._idle_after(drained), name="aiohttp-jobs-idle")
        try:
            await asyncio.wait({ending, drained}, return_when=asyncio.FIRST_COMPLETED)
            self._engine.begin_closing()
            self._manager.stopping()
            if not ending.done():
                say(
                    "Somebody drains this worker: it takes no more jobs, and ends when those that it runs "
                    "have ended."
                )
                await asyncio.wait({ending, idle}, return_when=asyncio.FIRST_COMPLETED)
                return
            say(
                f"Takes no more jobs, and gives those it runs {self._config.shutdown_grace:g} s. "
                "Another signal ends them now."
            )
            await self._say_draining()
        finally:
            for task in (ending, drained, idle):
                task.cancel()
            await end_tasks({ending, drained, idle}, 1.0)

    async def _idle_after(self, drained: asyncio.Task[None]) -> None:
        await asyncio.wait({drained})
        await self._engine.until_idle()

    async def _say_draining(self) -> None:
        try:
            async with asyncio.timeout(_SAY_SECONDS):
                await self._engine.say_draining()
        except (OSError, TimeoutError) as error:
            _logger.warning("The others cannot be told that this worker takes no more jobs: %s", error)

    def _asked_to_end(self) -> None:
        if self._ending.is_set():
            self._engine.stop_jobs()
        self._ending.set()

    def _described(self) -> str:
        options = self._options
        places = ", ".join(f"{most} in {mode}" for mode, most in options.places.items())
        labels = ", ".join(options.labels) or "none"
        functions = ", ".join(each.name for each in self._functions) or "none"
        return (
            f"Worker {options.name} ({self._engine.instance_id}) runs jobs: {places}. "
            f"Labels: {labels}. Functions: {functions}."
        )


def _config_of(request: WorkerRequest) -> JobsConfig:
    settings = {"engine": "postgres", **request.settings}
    for name, mode in _PLACES.items():
        if request.places.get(name):
            setting = "max_parallel_runspace" if mode is ExecutionMode.RUNSPACE else "max_parallel_background"
            settings[setting] = request.places[name]
    if request.config is None:
        return JobsConfig.from_environment(**settings)
    found = _named(request.config)
    config = found() if _takes_nothing(found) else found
    if not isinstance(config, JobsConfig):
        raise ConfigurationError(
            f"{request.config} is no JobsConfig and no function that returns one, so it cannot be --config."
        )
    try:
        return JobsConfig(**{**{name: getattr(config, name) for name in config.model_fields_set}, **settings})
    except ValidationError as error:
        raise ConfigurationError(f"--config {request.config}: {what_is_wrong(error.errors()[0])}") from None


def _takes_nothing(found: Any) -> bool:
    """Whether it can be called, without arguments."""
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _labels(labels: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(set(TypeAdapter(Labels).validate_python(tuple(labels)))))
    except ValidationError:
        raise ConfigurationError(
            "Labels have lower-case letters, digits, dots, underscores and hyphens, such as 'gpu' or "
            "'site-berlin'; at most 16 of them, of 63 characters each."
        ) from None


def _places(config: JobsConfig, request: WorkerRequest) -> dict[ExecutionMode, int]:
    unknown = sorted(request.places.keys() - _PLACES.keys())
    if unknown:
        raise ConfigurationError(
            f"There is no kind of jobs {unknown[0]!r} for a worker; there are runspace and background."
        )
    usual = {"runspace": config.max_parallel_runspace, "background": config.max_parallel_background}
    asked = request.places or usual
    places = {_PLACES[name]: most for name, most in asked.items() if most}
    if not places:
        raise ConfigurationError("A worker needs a place for a job, such as --concurrency background=4.")
    return places


def _imported(modules: Collection[str]) -> Functions:
    """The functions of the host's in these modules. Raises `ConfigurationError`."""
    found: dict[int, Functions] = {}
    for name in modules:
        module = _module(name)
        for value in vars(module).values():
            owner = value if isinstance(value, Functions) else getattr(value, "owner", None)
            if isinstance(owner, Functions):
                found[id(owner)] = owner
    if len(found) > 1:
        raise ConfigurationError(
            "The modules that are imported have several registries of functions, and a host has one: import "
            "only those whose functions are registered in the same."
        )
    if modules and not found:
        raise ConfigurationError(f"No aiohttp_jobs.Functions was found in {', '.join(modules)}.")
    return next(iter(found.values()), Functions())


def _named(reference: str) -> Any:
    """What ``module:name`` is."""
    module, _, name = reference.partition(":")
    if not module or not name:
        raise ConfigurationError(
            f"--config takes module:name, such as myapp.jobs:config, and not {reference!r}."
        )
    try:
        return getattr(_module(module), name)
    except AttributeError:
        raise ConfigurationError(f"There is no {name} in the module {module}.") from None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"There is no module {name} here. Install it, or say with --app-dir in which folder it lies."
        ) from None
