"""Building engines that are not there yet, one after the other, into the cache.

A build happens in a working directory of its own and its result is renamed into place when it is whole and has told its
version: what is in place can be used. A lock for each engine keeps two builds apart; it dies with its process.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from muniment.engines.cache import FLAGS, MODULE_FILES, built_path, cache_root
from muniment.engines.catalogue import ENGINES, Engine, Source, modules_root
from muniment.engines.catalogue import engine as engine_named
from muniment.engines.find import locate, version_of
from muniment.engines.running import run_logged
from muniment.engines.toolchain import find_c_compiler, find_go
from muniment.kernel.errors import MissingToolError, PermanentError
from muniment.kernel.events import Listener, Step, ignore
from muniment.kernel.files import sync_directory, unwritable

TELLING = re.compile(r"error:|mismatch|undefined|dial tcp|cannot|not found|[Tt]imeout|No such|no space left|denied")
"""Lines of a build's output that say why it failed."""

MOST_OF_A_CAUSE = 200


@dataclass(frozen=True)
class Tools:
    """What every build uses."""

    go: Path
    c_compiler: str


def ensure_engines(listener: Listener = ignore, names: Iterable[str] | None = None) -> dict[str, Path]:
    """The executable of every engine by its name (`topology.model.Program` values), built where it is missing.

    `names` limits it to some engines. Raises `InputError` for a name that there is not, `MissingToolError` with the
    command to run when something must be installed first (before anything is built), `PermanentError` naming the log
    when a build fails.
    """
    wanted = ENGINES if names is None else [engine_named(name) for name in dict.fromkeys(names)]
    found = {engine.name: locate(engine) for engine in wanted}
    for engine in wanted:
        if found[engine.name] is None and engine.source is None:
            raise MissingToolError(missing(engine))
    to_build = [(engine, engine.source) for engine in wanted if found[engine.name] is None and engine.source]
    paths = {name: place.path for name, place in found.items() if place}
    if to_build:
        tools = _tools(listener)
        for engine, source in to_build:
            paths[engine.name] = _build(engine, source, tools, listener)
    return {engine.name: paths[engine.name] for engine in wanted}


def missing(engine: Engine) -> str:
    """The sentence for an engine of the system that is not there."""
    return f"{engine.name} {engine.wanted} is not on this machine: run: apt-get install {engine.package}"


def _tools(listener: Listener) -> Tools:
    # The compiler first: it is quickly looked for, and Go may have to be downloaded.
    compiler = find_c_compiler()
    go = find_go(cache_root(), lambda: listener(Step("go", "downloading the Go toolchain (70 MB)")))
    return Tools(go, compiler)


def _build(engine: Engine, source: Source, tools: Tools, listener: Listener) -> Path:
    built = built_path(engine, source)
    place = built.parent
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _lock(engine, place, listener):
            if not os.access(built, os.X_OK):
                _remove_leftovers(place)
                work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
                try:
                    _Build(engine, source, tools, listener, work, place.with_suffix(".log")).run(place)
                finally:
                    shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise unwritable(place, error) from error
    return built


@contextmanager
def _lock(engine: Engine, place: Path, listener: Listener) -> Iterator[None]:
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        listener(Step(engine.name, "waiting for another muniment that builds it"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(place: Path) -> None:
    """Remove working directories that a killed build left; the caller holds the lock."""
    for leftover in place.parent.glob(f".{place.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if place.exists():
        # Without its executable (else nobody would build): somebody cleaned up by hand.
        shutil.rmtree(place)


@dataclass(frozen=True)
class _Build:
    """One build, in the working directory `work`."""

    engine: Engine
    source: Source
    tools: Tools
    listener: Listener
    work: Path
    log: Path

    def run(self, place: Path) -> None:
        """Build and put the result at `place`."""
        begun = time.monotonic()
        module = self.work / "module"
        module.mkdir()
        for name in MODULE_FILES:
            shutil.copyfile(modules_root() / self.source.module / name, module / name)
        self.log.write_text("", "utf-8")
        total = self._download(module)
        result = self.work / "result"
        self._compile(module, result / self.engine.name, total)
        self._check(result / self.engine.name)
        result.rename(place)
        sync_directory(place.parent)
        self.log.unlink(missing_ok=True)
        elapsed = time.monotonic() - begun
        self.listener(Step(self.engine.name, f"built in {elapsed:.0f} s", "end", total, total))

    def _download(self, module: Path) -> int:
        """Fetch the sources; returns the number of packages that the engine is made of."""
        self.listener(Step(self.engine.name, "downloading sources"))
        done = 0

        def count(line: str) -> None:
            nonlocal done
            if line.startswith("go: downloading "):
                done += 1
                self.listener(Step(self.engine.name, "downloading sources", "progress", done))

        arguments = ("list", "-deps", self.source.package)
        self._go("its sources could not be fetched", module, count, *arguments)
        return (self.work / "output").read_bytes().count(b"\n")

    def _compile(self, module: Path, target: Path, total: int) -> None:
        target.parent.mkdir()
        self.listener(Step(self.engine.name, "compiling", done=0, total=total))
        done = 0

        def count(line: str) -> None:
            # `go build -v` prints the import path of every package that it compiles; those in its cache it skips.
            nonlocal done
            if line and " " not in line:
                done = min(done + 1, total)
                self.listener(Step(self.engine.name, "compiling", "progress", done, total))

        arguments = ("build", "-v", *FLAGS, *self.source.flags, "-o", str(target), self.source.package)
        self._go("it does not compile", module, count, *arguments)

    def _check(self, target: Path) -> None:
        version = version_of(self.engine, target)
        if version is None or not self.engine.accepts(version):
            told = ".".join(map(str, version)) if version else "no version"
            raise PermanentError(
                f"{self.engine.name} was built but tells {told} instead of {self.engine.wanted}:"
                f" {modules_root() / self.source.module} does not fit this muniment, install it again"
            )
        with target.open("rb") as stream:
            os.fsync(stream.fileno())

    def _go(self, failure: str, module: Path, on_line: Callable[[str], None], *arguments: str) -> None:
        causes: list[str] = []
        last = ""

        def remember(line: str) -> None:
            nonlocal last
            last = line.strip() or last
            if TELLING.search(line):
                causes.append(line.strip())
            on_line(line)

        status = run_logged(
            [self.tools.go, *arguments],
            directory=module,
            environment=_environment(self.tools),
            log=self.log,
            output=self.work / "output",
            on_line=remember,
        )
        if status != 0:
            # What comes after the first cause mostly follows from it.
            why = (causes or [last])[0][:MOST_OF_A_CAUSE]
            raise PermanentError(
                f"{self.engine.name} could not be built, {failure} ({why}): the whole output is in {self.log}"
            )


def _environment(tools: Tools) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("GOROOT", "GOOS", "GOARCH")}
    return environment | {
        "CC": tools.c_compiler,
        "CGO_ENABLED": "1",
        "GO111MODULE": "on",
        # Not empty: an empty one would let flags from the user's `go env -w` in.
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "HOME": environment.get("HOME") or str(Path.home()),
    }
