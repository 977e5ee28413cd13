"""`muniment engines`: the programs that muniment runs and did not write."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import click

from muniment.cli.progress import listener
from muniment.engines.build import ensure_engines, missing
from muniment.engines.cache import built_path
from muniment.engines.catalogue import ENGINES, Engine
from muniment.engines.find import locate


@dataclass(frozen=True)
class Row:
    """One engine as it is listed."""

    name: str
    title: str
    version: str
    """The version that is used, or would be."""
    origin: str
    """path, cache, build (it would be built) or missing."""
    path: str | None
    """Where it is, or would be once built."""
    advice: str
    """What to do when it is missing; empty otherwise."""


@click.group()
def engines() -> None:
    """The engines: geth (GoQuorum), ipfs (kubo), ipfs-cluster-service, haproxy.

    An engine on PATH is used when its version is the accepted one. Otherwise it is built once from a pinned Go module,
    and kept in the cache ($MUNIMENT_CACHE, else $XDG_CACHE_HOME/muniment, else ~/.cache/muniment). haproxy comes from
    the system's packages.
    """


@engines.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def list_engines(as_json: bool) -> None:
    """Show every engine: its version, where it comes from, and its path."""
    rows = [_row(engine) for engine in ENGINES]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    widths = [max(len(getattr(row, field)) for row in rows) for field in ("name", "version", "origin")]
    for row in rows:
        name, version, origin = row.name.ljust(widths[0]), row.version.ljust(widths[1]), row.origin.ljust(widths[2])
        click.echo(f"{name}  {version}  {origin}  {row.advice or row.path}")


@engines.command("build")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def build_engines(names: tuple[str, ...]) -> None:
    """Build the engines that are missing; all of them, or those NAMEd.

    Needs a C compiler, and network access for the sources. It takes several minutes on two cores, once.
    """
    with listener() as listen:
        built = ensure_engines(listen, names or None)
    for name, path in built.items():
        click.echo(f"{name}: {path}")


def _row(engine: Engine) -> Row:
    found = locate(engine)
    if found:
        return Row(engine.name, engine.title, found.version, found.origin.value, str(found.path), "")
    if engine.source:
        path = built_path(engine, engine.source)
        return Row(engine.name, engine.title, engine.wanted, "build", str(path), "")
    return Row(engine.name, engine.title, engine.wanted, "missing", None, missing(engine))
