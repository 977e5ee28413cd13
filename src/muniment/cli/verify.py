"""`muniment verify`: a file against its receipt, and the receipt against the chain."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from muniment.cli import options
from muniment.cli.asking import ask
from muniment.cli.endpoints import urls_of
from muniment.cli.sources import digest
from muniment.kernel.errors import InputError, MunimentError
from muniment.proof import statement
from muniment.proof.receipt import MAX_BYTES, MalformedReceiptError, Receipt, parse
from muniment.proof.verify import (
    Report,
    State,
    Step,
    Verdict,
    check_chain,
    check_offline,
    malformed,
    not_asked,
    proved_facts,
)

_COLOURS = {State.OK: "green", State.FAILED: "red", State.NOT_CHECKED: "yellow"}
_SENTENCES = {
    Verdict.PROVED: "PROVED: this file existed, with exactly this content, not later than {not_after}.",
    Verdict.DISPROVED: "DISPROVED: the receipt is not for this file, or is not true; the failed steps say why.",
    Verdict.NOT_TRUSTED: "NOT TRUSTED: the chain that was asked is not the one of the receipt, or lacks its contract.",
    Verdict.INCOMPLETE: "INCOMPLETE: nothing contradicts the receipt, but not every step could be done.",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--receipt",
    "receipt_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Receipt of the file, as `muniment notarize` wrote it.",
)
@click.option("--rpc", help="URL of a node or gateway to ask; by default that of the consortium in --state.")
@options.state
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document with all steps, and nothing else.")
def verify(file: Path, receipt_file: Path, *, rpc: str | None, state: Path, as_json: bool) -> None:
    """Check FILE against its receipt, step by step.

    The file's digest and CID, the statement, the tree and the batch are computed here; then the chain is asked whether
    it holds the anchor, exactly as the receipt says. Nothing is taken from the receipt that can be computed.

    Exit status: 0 proved, 1 disproved, 2 wrong usage, 3 the receipt is malformed, 4 the chain is not trusted,
    5 incomplete (a step could not be done: the chain cannot be reached, the receipt is not anchored yet).
    """
    try:
        receipt = parse(_read(receipt_file))
    except MalformedReceiptError as error:
        if as_json:
            _print_json(file, receipt_file, (malformed(str(error)),), Verdict.MALFORMED, None)
        raise MalformedReceiptError(f"{receipt_file}: {error}") from error
    report = _check(file, receipt, rpc, state)
    if as_json:
        _print_json(file, receipt_file, report.steps, report.verdict, receipt)
    else:
        _print(report, receipt)
    click.get_current_context().exit(report.verdict.exit_status)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a receipt that can") from error


def _check(file: Path, receipt: Receipt, rpc: str | None, state: Path) -> Report:
    offline = check_offline(digest(file), receipt)
    if any(step.state is State.FAILED for step in offline):
        return Report((*offline, *not_asked("the receipt is disproved without the chain")))
    return Report((*offline, *_chain_steps(receipt, rpc, state)))


def _chain_steps(receipt: Receipt, rpc: str | None, state: Path) -> tuple[Step, ...]:
    if receipt.anchor is None:
        return not_asked("the receipt is not anchored yet: fetch it again from its notary")
    try:
        url = rpc or _gateway(state, statement.decode(receipt.statement).member)
        facts = asyncio.run(ask(url, receipt))
    except MunimentError as error:
        return not_asked(str(error))
    return check_chain(receipt, facts)


def _gateway(state: Path, member: str) -> str:
    """The gateway of the receipt's member when it is ours, else of any; raises `InputError` when there is none."""
    urls = urls_of(state, "rpc", "give the URL of a node with --rpc, or name the state directory with --state")
    return urls.get(member) or next(iter(urls.values()))


def _print(report: Report, receipt: Receipt) -> None:
    width = max(len(step.name) for step in report.steps)
    for step in report.steps:
        mark = click.style(f"{step.state:<11}", fg=_COLOURS[step.state])
        click.echo(f"{mark}  {step.name:<{width}}  {step.detail}")
    click.secho(_SENTENCES[report.verdict].format_map(proved_facts(receipt) or {"not_after": ""}), bold=True)


def _print_json(
    file: Path, receipt_file: Path, steps: tuple[Step, ...], verdict: Verdict, receipt: Receipt | None
) -> None:
    document: dict[str, Any] = {
        "verdict": verdict,
        "file": str(file),
        "receipt": str(receipt_file),
        "steps": [{"name": step.name, "state": step.state, "detail": step.detail} for step in steps],
        "proved": proved_facts(receipt) if receipt and verdict is Verdict.PROVED else {},
    }
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))
