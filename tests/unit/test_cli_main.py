"""The command line: errors as sentences, exit statuses, laziness."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from muniment.cli import main as cli
from muniment.cli.lazy import Entry, LazyGroup, load
from muniment.cli.progress import lines
from muniment.kernel.errors import InputError, IntegrityError, MissingToolError
from muniment.kernel.events import Step


def failing(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return click.Command("fail", callback=body)


FailWith = Callable[[BaseException], None]


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> FailWith:
    """Make `muniment fail` raise the given error."""

    def install(error: BaseException) -> None:
        monkeypatch.setattr(cli, "cli", LazyGroup(name="muniment", entries={"fail": Entry("x:y", "Fails.", "")}))
        monkeypatch.setattr("muniment.cli.lazy.load", lambda _entry: failing(error))

    return install


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("port 1 is taken: choose another"), 2, "muniment: port 1 is taken: choose another\n"),
        (IntegrityError("keys differ"), 1, "muniment: keys differ\n"),
        (KeyboardInterrupt(), 130, "muniment: interrupted\n"),
        (ExceptionGroup("g", [OSError("x"), ExceptionGroup("h", [InputError("inner")])]), 2, "muniment: inner\n"),
    ],
)
def test_errors_are_one_sentence(
    fail_with: FailWith, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    fail_with(error)
    assert cli.main(["fail"]) == status
    # click ends the line of a terminal's ^C first.
    assert capsys.readouterr().err.lstrip("\n") == said


def test_fault_of_ours(fail_with: FailWith, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(ZeroDivisionError("division by zero"))
    assert cli.main(["fail"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "fault of muniment (ZeroDivisionError: division by zero); run it again with --debug" in said
    assert cli.main(["fail", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "debug", "rest"),
    [
        (["up", "--debug", "x"], True, ["up", "x"]),
        (["--debug", "up"], True, ["up"]),
        (["up"], False, ["up"]),
        (["notarize", "--", "--debug"], False, ["notarize", "--", "--debug"]),
    ],
)
def test_debug_may_stand_anywhere(given: list[str], debug: bool, rest: list[str]) -> None:
    assert cli.take_debug(given) == (debug, rest)


def test_overview_names_every_command_without_importing_any(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in cli.COMMANDS)
    code = (
        "import sys; from muniment.cli.main import main; main(['--help']);"
        "heavy = {'pydantic', 'yaml', 'httpx2', 'rich', 'fastapi', 'sqlalchemy', 'asyncio'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_is_there_and_says_in_the_overview_what_it_says_itself(name: str) -> None:
    entry = cli.COMMANDS[name]
    command = load(entry)
    assert command.name == name
    assert command.help
    assert entry.help.endswith(".")


def test_unknown_command_names_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["upp"]) == 2
    assert "there is no command 'upp'; there are init, up, " in capsys.readouterr().err


def test_missing_extra_is_named() -> None:
    with pytest.raises(MissingToolError, match=r"no_such_package.*pip install 'muniment\[deploy\]'"):
        load(Entry("no_such_package.module:thing", "", "deploy"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("muniment ")


def test_reader_that_has_enough(tmp_path: Path) -> None:
    command = f"{sys.executable} -m muniment init --schema | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_progress_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    with lines() as tell:
        tell(Step("alpha-1", "starting"))
        tell(Step("files", "uploading", "progress", 3, 10))
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {**first, "elapsed": 0} == {"elapsed": 0, "subject": "alpha-1", "text": "starting", "state": "begin"}
    assert (second["done"], second["total"]) == (3, 10)
