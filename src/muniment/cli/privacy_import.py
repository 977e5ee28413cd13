"""`muniment privacy import`: take over the payloads of a Tessera or crux database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from muniment.database.reading import Source
from muniment.kernel.files import unwritable, write_atomically
from muniment.privacy.importing import Import, Imported
from muniment.privacy.key_files import read_password
from muniment.privacy.serve import parts
from muniment.privacy.settings import Settings, read

MOST_SHOWN = 20


@click.command("import")
@click.option("--from", "url", required=True, metavar="URL",
              help="The other manager's database: postgresql://, mysql:// or sqlite:///FILE.")  # fmt: skip
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), help="File with its password.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), required=True,
              help="Configuration file of one of the member's privacy managers: where to, and the keys.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Read and check everything, keep nothing.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write what was found as JSON.")
@click.pass_context
def import_(
    ctx: click.Context, url: str, password_file: Path | None, config: Path, dry_run: bool, report: Path | None
) -> None:
    """Read an existing database, check every payload, and keep it in the member's database.

    The other database is only read. It may be run again: what is here already stays. Exit status 0: everything was
    read; 1: some rows could not be, each is named with its cause.
    """
    password = None if password_file is None else read_password(password_file)
    found = asyncio.run(_import(read(config), Source(url, password), dry=dry_run))
    verb = "would be imported" if dry_run else "imported"
    click.echo(f"{found.kept} {verb}, {found.known} were here already, {len(found.unreadable)} could not be read")
    for payload_hash, why in found.unreadable[:MOST_SHOWN]:
        click.echo(f"not read: {payload_hash}: {why}", err=True)
    if report is not None:
        _write(report, found)
    ctx.exit(1 if found.unreadable else 0)


async def _import(settings: Settings, source: Source, *, dry: bool) -> Imported:
    try:
        async with parts(settings, None) as made:
            await made.store.migrate()
            await made.store.claim(made.enclave.keys)
            task = Import(source, made.enclave, made.store, lambda rows: click.echo(f"{rows} rows", err=True), dry=dry)
            return await task.run()
    finally:
        await source.close()


def _write(path: Path, found: Imported) -> None:
    document = {
        "imported": found.kept,
        "known": found.known,
        "unreadable": [{"hash": payload_hash, "cause": why} for payload_hash, why in found.unreadable],
    }
    try:
        write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())
    except OSError as error:
        raise unwritable(path, error) from error
