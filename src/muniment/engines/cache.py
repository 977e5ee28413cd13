"""The cache of built engines, outside any checkout: one directory for each set of inputs.

`$MUNIMENT_CACHE`, else `$XDG_CACHE_HOME/muniment`, else `~/.cache/muniment`. A built engine is
`engines/NAME-HASH/NAME`; HASH covers everything that decides what is built, so that a changed input makes a new
directory and an old one stays valid for those who still use it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from muniment.engines.catalogue import Engine, Source, modules_root
from muniment.engines.toolchain import go_version, platform
from muniment.kernel.errors import InputError

MODULE_FILES = ("go.mod", "go.sum", "tools.go")

FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
"""Flags of `go build` for every engine."""

HASH_DIGITS = 16


def cache_root() -> Path:
    """The directory of everything that muniment keeps for later and can make again."""
    own = os.environ.get("MUNIMENT_CACHE")
    if own:
        return Path(own).absolute()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg).absolute() if xdg else Path.home() / ".cache") / "muniment"


def built_path(engine: Engine, source: Source) -> Path:
    """Where the engine's executable is once it was built."""
    return cache_root() / "engines" / f"{engine.name}-{input_hash(source)}" / engine.name


def input_hash(source: Source) -> str:
    """Digest of all inputs of a build: module files, flags, Go's version and platform."""
    digest = hashlib.sha256()
    for part in (source.package, *FLAGS, *source.flags, go_version(), *platform()):
        digest.update(part.encode() + b"\0")
    for name in MODULE_FILES:
        digest.update(_read(modules_root() / source.module / name) + b"\0")
    return digest.hexdigest()[:HASH_DIGITS]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): install muniment again") from error
