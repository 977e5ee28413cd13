"""`muniment privacy keygen`: a key pair of a privacy manager in Tessera's file format."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from muniment.privacy.boxes import KeyPair
from muniment.privacy.key_files import read_password, write_pair


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Write OUTPUT.key and OUTPUT.pub.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lock the secret key by the password in this file (Argon2id).",
)
def keygen(output: Path, password_file: Path | None) -> None:
    """Make a key pair. `muniment up` makes those of its members by itself: this is for keys kept elsewhere."""
    pair = KeyPair.generate()
    secret_file, public_file = write_pair(output, pair, None if password_file is None else read_password(password_file))
    click.echo(f"{secret_file} (keep it secret), {public_file}: {base64.b64encode(pair.public).decode()}")
