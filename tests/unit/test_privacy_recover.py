"""`muniment privacy recover`: when it refuses, and what it says. Its work is tested with real managers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from muniment.cli import privacy_recover
from muniment.cli.main import main
from muniment.privacy.key_files import write_pair
from muniment.privacy.store import SqlStore, open_store
from tests.unit.privacy_payloads import PAIR_A, STORED

NOBODY = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy_recover, "ANNOUNCING_SECONDS", 0.0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return configured(tmp_path, peers=[NOBODY])


def configured(root: Path, **more: Any) -> Path:
    secret, _ = write_pair(root / "key", PAIR_A)
    path = root / "privacy.json"
    path.write_text(
        json.dumps(
            {
                "member": "alpha",
                **{name: {"host": "127.0.0.1", "port": 14990} for name in ("q2t", "p2p", "status")},
                "advertised_url": "http://127.0.0.1:14990/",
                "keys": [{"secret_key_file": str(secret)}],
                "database": {"url": "sqlite", "file": str(root / "privacy.sqlite")},
                "data_dir": str(root / "data"),
                **more,
            }
        )
    )
    return path


def in_store(config: Path, work: Callable[[SqlStore], Awaitable[Any]]) -> Any:
    async def do() -> Any:
        store = open_store("sqlite", None, config.parent / "privacy.sqlite")
        try:
            await store.migrate()
            await store.claim([PAIR_A.public])
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(do())


def known_to_the_volume(config: Path, instance: str) -> None:
    data = config.parent / "data"
    data.mkdir()
    (data / "database-instance").write_text(instance)


def recover(config: Path, *options: str) -> int:
    return main(["privacy", "recover", "--config", str(config), *options])


def test_a_database_that_holds_payloads_is_left_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_store(config, lambda store: store.add(STORED))
    assert recover(config) == 2
    assert "--resume" in capsys.readouterr().err
    assert in_store(config, lambda store: store.recovering()) is False


def test_a_recovery_that_was_broken_off_is_begun_again_only_on_demand(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_store(config, lambda store: store.set_recovering(True))
    assert recover(config) == 2
    assert "broken off" in capsys.readouterr().err


def test_nobody_to_ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, peers=["http://127.0.0.1:14990"])
    assert recover(config) == 2
    assert "no other member is known" in capsys.readouterr().err
    assert in_store(config, lambda store: store.recovering()) is False


def test_as_long_as_something_is_missing_the_managers_stay_closed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known_to_the_volume(config, "the lost one")
    assert recover(config) == 1
    said = capsys.readouterr()
    assert "0 payloads are here again; 1 managers could not be asked, 0 payloads were not kept." in said.out
    assert "The managers do not serve" in said.out
    assert f"{NOBODY} could not be asked" in said.err
    assert in_store(config, lambda store: store.recovering()) is True
    assert in_store(config, lambda store: store.claim([PAIR_A.public])) != "the lost one"


def test_the_loss_can_be_accepted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known_to_the_volume(config, "the lost one")
    assert recover(config, "--partial") == 1
    assert "know this database now" in capsys.readouterr().out
    assert in_store(config, lambda store: store.recovering()) is False
    assert in_store(config, lambda store: store.claim([PAIR_A.public])) == "the lost one"


def test_a_database_in_use_stays_in_use(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_store(config, lambda store: store.add(STORED))
    instance = in_store(config, lambda store: store.claim([PAIR_A.public]))
    known_to_the_volume(config, instance)
    assert recover(config, "--resume") == 1
    assert "know this database now" in capsys.readouterr().out
    assert in_store(config, lambda store: store.recovering()) is False
    assert in_store(config, lambda store: store.payload(STORED.hash)) == STORED


def test_a_volume_that_knows_nothing_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recover(config, "--partial") == 1
    assert "knows no database" in capsys.readouterr().out
