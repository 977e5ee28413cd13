"""`muniment notarize`: which files it takes, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import httpx2
import pytest
from click.testing import CliRunner

from muniment.cli.notarize import notarize, notary_of
from muniment.cli.notarizing import Notarizing, Order, Outcome, groups_of
from muniment.cli.sources import collect, read_exactly
from muniment.clients.notary import NotaryClient
from muniment.kernel.errors import InputError, MunimentError
from muniment.kernel.events import Step
from muniment.notary.app import Api
from muniment.notary.readiness import Readiness
from muniment.proof.unixfs import summary_of
from tests.support.notary import Rig


def tree(folder: Path) -> Path:
    root = folder / "docs"
    (root / "sub").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"b")
    (root / "a 公證.txt").write_bytes(b"a")
    (root / "sub" / "empty").write_bytes(b"")
    return root


def test_folders_are_taken_whole_and_sorted(tmp_path: Path) -> None:
    root = tree(tmp_path)
    outside = tmp_path / "secret"
    outside.write_text("not meant")
    (root / "out").symlink_to(outside)
    (root / "in").symlink_to("b.txt")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe")
    (root / "receipts").mkdir()
    (root / "receipts" / "old.receipt.json").write_text("{}")
    names = [source.name for source in collect([root], besides=root / "receipts")]
    assert names == ["docs/a 公證.txt", "docs/b.txt", "docs/in", "docs/sub/empty"]


def test_bad_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("absent", "does not exist"), ("empty", "holds no file"), ("pipe", "neither a file nor")):
        with pytest.raises(InputError, match=said) as refused:
            collect([tmp_path / name], besides=tmp_path / "r")
        assert name in str(refused.value)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(folder)
    with pytest.raises(InputError, match="both named x"):
        collect([tmp_path / "one" / "x", tmp_path / "two" / "x"], besides=tmp_path / "r")
    assert len(collect([tmp_path / "one" / "x", tmp_path / "one" / "x"], besides=tmp_path / "r")) == 1


def test_large_files_go_alone(tmp_path: Path) -> None:
    for name, size in (("a", 1), ("b", 5 << 20), ("c", 1), ("d", 1)):
        (tmp_path / name).write_bytes(bytes(size))
    sources = collect([tmp_path], besides=tmp_path / "r")
    assert [[source.path.name for source in group] for group in groups_of(sources)] == [["a"], ["b"], ["c", "d"]]


@pytest.mark.parametrize("now", [b"12", b"1234"])
def test_a_file_of_another_length_has_changed(tmp_path: Path, now: bytes) -> None:
    (tmp_path / "x").write_bytes(now)
    with pytest.raises(InputError, match="changed while it was uploaded"):
        list(read_exactly(tmp_path / "x", 3))


async def run(rig: Rig, folder: Path, *paths: Path, patience: float = 20) -> tuple[Outcome, list[Step]]:
    app = Api(rig.notary, Readiness({}, {}, 0), "1").app()
    steps: list[Step] = []
    sources = collect(paths, besides=folder / "receipts")
    async with NotaryClient("http://notary", transport=httpx2.ASGITransport(app=app)) as client:
        order = Order("anchored", patience, folder / "receipts")
        outcome = await Notarizing(client, order, steps.append, len(sources)).run(sources)
    document = outcome.document(sources)
    assert len(document["files"]) + len(document["failed"]) == len(sources)
    return outcome, steps


@pytest.mark.anyio
async def test_every_file_gets_its_receipt(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "notary")
    await rig.start()
    outcome, steps = await run(rig, tmp_path, tree(tmp_path))
    assert outcome.failed == {}
    for source, (file, receipt) in outcome.files.items():
        assert file.cid == summary_of(source.path.read_bytes()).cid
        assert receipt == tmp_path / "receipts" / f"{source.name}.receipt.json"
        assert json.loads(receipt.read_text())["level"] == "anchored"
    assert (steps[0].state, steps[-1].state, steps[-1].done, steps[-1].total) == ("begin", "end", 3, 3)
    await rig.stop()


@pytest.mark.anyio
async def test_one_that_changes_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path / "notary")
    await rig.start()
    root = tree(tmp_path)
    real = Path.open

    def opened(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "b.txt" and arguments == ("rb",):
            self.write_bytes(os.urandom(1))
        return real(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    outcome, _ = await run(rig, tmp_path, root)
    assert sorted(source.path.name for source in outcome.files) == ["a 公證.txt", "empty"]
    ((source, cause),) = outcome.failed.items()
    assert source.path.name == "b.txt"
    assert "changed" in cause
    await rig.stop()


@pytest.mark.anyio
async def test_what_is_late_is_failed_with_a_receipt_of_what_is_proved(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "notary")
    await rig.start()
    rig.ledger.mining = False
    (tmp_path / "x").write_bytes(b"x")
    outcome, _ = await run(rig, tmp_path, tmp_path / "x", patience=0.3)
    ((_, cause),) = outcome.failed.items()
    assert "not anchored after 0.3 s" in cause
    assert json.loads((tmp_path / "receipts" / "x.receipt.json").read_text())["level"] == "batched"
    await rig.stop()


def invoke(*arguments: str | Path) -> tuple[BaseException | None, str]:
    result = CliRunner().invoke(notarize, [str(argument) for argument in arguments])
    return result.exception, result.stdout


def test_without_a_consortium(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    error, printed = invoke(tmp_path / "x", "--state", tmp_path / "none")
    assert isinstance(error, InputError)
    assert "muniment up" in str(error)
    assert printed == ""


def test_a_notary_that_stays_away_fails_all(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    receipts = tmp_path / "receipts"
    error, printed = invoke(
        tmp_path / "x", "--notary", "http://127.0.0.1:1", "--patience", "0.2", "--json", "--receipts", receipts
    )
    assert isinstance(error, MunimentError)
    assert error.exit_status == 1
    told = json.loads(printed)
    assert told["files"] == []
    assert "within 0.2 s" in told["failed"][0]["cause"]


def test_the_first_member_with_a_notary(tmp_path: Path) -> None:
    endpoints = {"members": {"beta": {"rpc": "http://r", "notary": None}, "alpha": {"notary": "http://n"}}}
    (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
    assert notary_of(tmp_path) == "http://n"
    (tmp_path / "endpoints.json").write_text('{"members": {"beta": {}}}')
    with pytest.raises(InputError, match="no member"):
        notary_of(tmp_path)
    (tmp_path / "endpoints.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read"):
        notary_of(tmp_path)


def test_help_says_how_it_ends() -> None:
    assert "Exit status" in notarize.get_help(click.Context(notarize))
