"""A command group that imports a command only when it is asked for: `muniment verify` needs no deployer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from muniment.kernel.errors import MissingToolError


@dataclass(frozen=True)
class Entry:
    """One command: where it is, its line in the overview, and the extra of the package that brings what it imports."""

    where: str
    """`module:attribute`."""
    help: str
    extra: str


class LazyGroup(click.Group):
    """A group whose commands are named by `entries` and imported one at a time."""

    def __init__(self, *arguments: Any, entries: Mapping[str, Entry], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of `entries`."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now. Raises `MissingToolError` when its extra is not installed."""
        del ctx
        entry = self.entries.get(cmd_name)
        return load(entry) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; also names the commands when there is none of this name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and args[0] not in self.entries and not args[0].startswith("-"):
                raise click.UsageError(
                    f"there is no command {args[0]!r}; there are {', '.join(self.entries)}", ctx
                ) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


def load(entry: Entry) -> click.Command:
    """Import a command."""
    module, _, attribute = entry.where.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "muniment":
            raise
        raise MissingToolError(
            f"this command needs the Python package {error.name}: run pip install 'muniment[{entry.extra}]'"
        ) from error
    if not isinstance(command, click.Command):
        raise TypeError(f"{entry.where} is not a command")
    return command
