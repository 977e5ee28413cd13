"""The commands that work on what runs: status, down, logs. They need no specification."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from muniment.cli import options, report, targets
from muniment.kernel.errors import InputError
from muniment.operate.observe import observe
from muniment.operate.state import State
from muniment.operate.status import Verdict
from muniment.operate.stop import down as stop_everything


@click.command()
@options.state
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, and nothing else.")
def status(state: Path, as_json: bool) -> int:
    """Show what runs, whether it is fit, and how many faults are left.

    \b
    The verdict:
      ok        everything is ready
      degraded  it serves, but something is not ready
      down      no block can be made, or no gateway or no notary serves

    Exit status: 0 when the verdict is ok, 1 otherwise.
    """
    place = State(options.absolute(state))
    found = asyncio.run(observe(place.record(), targets.running(place)))
    if as_json:
        click.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
    else:
        report.status(found)
    return 0 if found.verdict is Verdict.OK else 1


@click.command()
@options.state
@click.option(
    "--purge", is_flag=True, help="Also delete the state: identities (keys!), chain, content, receipts' index."
)
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
def down(state: Path, purge: bool, yes: bool) -> None:
    """Stop everything; the state stays unless --purge is given.

    Whatever belongs to the state directory is stopped, also when its supervisor was killed. `muniment up` goes on from
    the same chain with the same identities.
    """
    place = State(options.absolute(state))
    if yes and not purge:
        raise click.UsageError("--yes goes with --purge only")
    if purge and (targets.remembered(place) or targets.Choice()).target is not targets.Kind.LOCAL:
        raise InputError(
            "--purge is for this machine: volumes and Secrets of a cluster are deleted by who may, for example by"
            " `kubectl delete pvc,secret -l muniment.io/consortium=NAME`"
        )
    if purge and not yes and place.root.exists():
        question = f"Delete {place.root} with all keys, the chain and all content? It cannot be undone."
        click.confirm(question, abort=True, err=True)
    found = stop_everything(targets.running(place), place)
    if purge:
        place.purge()
    click.echo(f"{place.root}: " + ("stopped and deleted" if purge else "stopped") if found else "nothing runs")


@click.command()
@click.argument("workload")
@options.state
@click.option("-f", "--follow", is_flag=True, help="Go on with what it writes from now on, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=100, show_default=True, help="Begin so many lines back."
)
def logs(workload: str, state: Path, follow: bool, lines: int) -> None:
    """Show what a workload wrote to its log.

    WORKLOAD is a name from `muniment status`, or `supervisord` for the supervisor itself.
    """
    place = State(options.absolute(state))
    names = [part.name for part in place.record().parts]
    if workload not in (*names, "supervisord"):
        raise InputError(f"there is no workload {workload!r}; there are {', '.join(names)}")
    targets.running(place).show_log(workload, lines=lines, follow=follow)
