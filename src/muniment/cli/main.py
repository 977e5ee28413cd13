"""The `muniment` command: assembles the commands, and turns every error into one sentence and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence

import click

from muniment import __version__
from muniment.cli.lazy import Entry, LazyGroup
from muniment.kernel.errors import MunimentError

INTERRUPTED = 130
FAULT_OF_OURS = 70
"""EX_SOFTWARE of sysexits.h."""

_NETWORK = "muniment.cli.network"
_RUNNING = "muniment.cli.running"
COMMANDS = {
    "init": Entry(f"{_NETWORK}:init", "Write a commented specification to start from.", "deploy"),
    "up": Entry(f"{_NETWORK}:up", "Start a consortium on this machine, and wait until it is ready.", "deploy"),
    "status": Entry(f"{_RUNNING}:status", "Show what runs, whether it is fit, and how many faults are left.", "deploy"),
    "down": Entry(f"{_RUNNING}:down", "Stop everything; the state stays unless --purge is given.", "deploy"),
    "logs": Entry(f"{_RUNNING}:logs", "Show what a workload wrote to its log.", "deploy"),
    "notarize": Entry("muniment.cli.notarize:notarize", "Notarise files and folders, and keep their receipts.", ""),
    "verify": Entry("muniment.cli.verify:verify", "Check a file against its receipt, step by step.", ""),
    "render": Entry(f"{_NETWORK}:render", "Write the files of a deployment without starting it.", "deploy"),
    "member": Entry(f"{_NETWORK}:member", "The public part of a member, for other operators.", "deploy"),
    "engines": Entry("muniment.cli.engines:engines", "Build and list the engines (geth, ipfs, …).", "deploy"),
    "notary": Entry("muniment.cli.notary:notary", "The notary service of a member.", "notary"),
    "privacy": Entry("muniment.cli.privacy:privacy", "The privacy manager of a member, and private transactions.", ""),
    "operator": Entry("muniment.cli.operator:operator", "The operator: keeps consortia on Kubernetes.", "operator"),
    "agent": Entry("muniment.cli.agent:agent", "The agent: judges a member's nodes and peers.", "agent"),
}


@click.group(
    cls=LazyGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="muniment", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere in the command.")
def cli(debug: bool) -> None:
    """A highly available GoQuorum consortium and a private IPFS Cluster, and files notarised in them.

    \b
    A first tour:
      muniment init                        write consortium.yaml
      muniment up --detach                 start it, wait until it is ready
      muniment notarize FILE               keep FILE, anchor it, get a receipt
      muniment verify FILE --receipt R     prove it
      muniment down                        stop it; the state stays

    Errors are one sentence on standard error. Exit status: 0 done, 1 failed, 2 wrong usage or input,
    130 interrupted; `verify` has its own (see its help).
    """
    del debug  # taken out of the arguments before they get here


def run() -> None:
    """Entry point of the command line."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit status."""
    debug, rest = take_debug(arguments)
    try:
        return _run(rest)
    except BrokenPipeError:
        # Whoever reads us has enough (`muniment logs … | head`); nothing is left to be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("muniment: interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BaseExceptionGroup as group:
        return _report(_leaf(group), debug)
    except Exception as error:  # the last door: no user gets a traceback that was not asked for
        return _report(error, debug)


def take_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take `--debug` out of the arguments, wherever it stands before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = [argument for argument in arguments[:end] if argument != "--debug"]
    return len(own) < end, [*own, *arguments[end:]]


def _run(arguments: list[str]) -> int:
    result = cli.main(arguments, prog_name="muniment", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _report(error: BaseException, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, MunimentError):
        click.echo(f"muniment: {error}", err=True)
        return error.exit_status
    said = " ".join(f"{type(error).__name__}: {error}".split())
    advice = "" if debug else "; run it again with --debug and report what it prints"
    click.echo(f"muniment: this is a fault of muniment ({said[:300]}){advice}", err=True)
    return FAULT_OF_OURS


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to report of several that came together: what muniment raised on purpose before anything else."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, MunimentError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
