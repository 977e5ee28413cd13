"""Promise: two operators who exchange only their public files run one consortium together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import rpc
from tests.support.consortium import Consortium
from tests.support.ports import port_block
from tests.support.waiting import BLOCKS, STARTED, wait_until
from tests.support.writer import Writer

pytestmark = pytest.mark.engines


def specification(base_port: int, **members: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "shared",
        "chain": {"id": 92, "empty_block_period_seconds": 5},
        "ports": {"base": base_port},
        "members": members,
    }


@pytest.fixture
def operators(tmp_path: Path) -> Iterator[tuple[Consortium, Consortium]]:
    """Each knows only its own member at first. Two validators each: the quorum of 3 needs both."""
    with port_block() as first, port_block() as second:
        alpha = Consortium(tmp_path / "alpha", specification(first, alpha={"nodes": 2, "peers": 2}))
        beta = Consortium(tmp_path / "beta", specification(second, beta={"nodes": 2, "peers": 0, "notary": False}))
        try:
            yield alpha, beta
        finally:
            alpha.remove()
            beta.remove()


def export(consortium: Consortium, member: str) -> Path:
    """What this operator gives to the other."""
    file = consortium.folder / f"{member}.public.yaml"
    consortium.run("member", "export", member, consortium.spec_file, "--state", consortium.state, "-o", file)
    return file


def join(consortium: Consortium, first: str, **members: Any) -> None:
    """Put the other member's public file into the specification; alpha stands first for both."""
    everybody = {**consortium.specification["members"], **members}
    ordered = {first: everybody.pop(first), **everybody}
    consortium.specification["members"] = ordered
    consortium.write_specification()


def test_public_files_are_enough(operators: tuple[Consortium, Consortium]) -> None:
    alpha, beta = operators
    alpha_file, beta_file = export(alpha, "alpha"), export(beta, "beta")
    for secret in (alpha.state / "identity" / "alpha").rglob("*"):
        assert secret.is_dir() or secret.read_text().strip() not in alpha_file.read_text()
    shutil.copy(alpha_file, beta.folder)
    shutil.copy(beta_file, alpha.folder)
    # The secrets of the private swarm are the one thing that operators share by a channel of their own.
    shutil.rmtree(beta.state / "identity" / "consortium")
    shutil.copytree(alpha.state / "identity" / "consortium", beta.state / "identity" / "consortium")
    join(alpha, "alpha", beta={"identity": beta_file.name})
    join(beta, "alpha", alpha={"identity": alpha_file.name})

    alpha.run("up", alpha.spec_file, "--state", alpha.state, "--detach", "--no-wait")
    beta.up()
    alpha.wait_ready(timeout=STARTED)

    ours, theirs = alpha.member("alpha")["rpc"], beta.member("beta")["rpc"]
    assert rpc.block_hash(ours, 0) == rpc.block_hash(theirs, 0)
    with Writer(ours):
        head = alpha.wait_blocks(ours, 3, timeout=BLOCKS)
    wait_until(
        "beta to have alpha's block",
        lambda: rpc.block_hash(theirs, head) == rpc.block_hash(ours, head),
        timeout=BLOCKS,
    )
