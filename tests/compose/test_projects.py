"""Two operators' compose projects on a real Docker are one consortium, and go on whatever container is killed."""

from __future__ import annotations

import functools
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from muniment.kernel.waiting import NotYetError, wait_blocking
from tests.compose.conftest import Projects
from tests.compose.project import READY_SECONDS, Project

pytestmark = pytest.mark.timeout(1200)


def test_a_file_is_notarised_and_verified(projects: Projects, tmp_path: Path) -> None:
    path, receipt = notarised(projects.alpha, tmp_path, "the first file")
    verify(projects.alpha, path, receipt)
    path.write_text("another file")
    with pytest.raises(AssertionError):
        verify(projects.alpha, path, receipt)


def test_a_private_contract_is_at_its_parties_only(projects: Projects) -> None:
    shared = create_privately(projects, projects.beta.privacy_key("beta"))
    codes = {node: code(projects, node, shared) for node in ("alpha-1", "alpha-2", "alpha-3", "beta-1")}
    assert len(set(codes.values())) == 1, codes
    assert codes["beta-1"] != "0x"
    alone = create_privately(projects)
    assert code(projects, "alpha-2", alone) != "0x"
    assert code(projects, "beta-1", alone) == "0x"


def test_secrets_are_for_their_owner_alone(projects: Projects) -> None:
    folder = projects.alpha.rendered
    for path in (*(folder / "secrets").rglob("*"), folder / ".env"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    secrets = {path.read_text().strip() for path in (folder / "secrets").rglob("*") if path.is_file()}
    for path in ((folder / "compose.yaml"), *(folder / "config").rglob("*")):
        if path.is_file():
            text = path.read_text()
            assert not [secret for secret in secrets if secret in text], path


def test_every_container_is_started_again_after_kill_9(projects: Projects, tmp_path: Path) -> None:
    kept = notarised(projects.alpha, tmp_path, "kept through all of it")
    for project in (projects.alpha, projects.beta):
        for name, container in project.containers().items():
            before = container["State"]["Pid"]
            os.kill(before, signal.SIGKILL)
            again = functools.partial(restarted, project, name, before)
            wait_blocking(f"the restart of {name}", again, timeout=READY_SECONDS)
            projects.wait_ready()
    verify(projects.alpha, *kept)


def test_down_and_up_it_is_the_same_chain(projects: Projects, tmp_path: Path) -> None:
    kept = notarised(projects.alpha, tmp_path, "kept through a stop")
    head = projects.alpha.rpc("alpha-gateway", "eth_getBlockByNumber", "latest", False)
    for project in (projects.alpha, projects.beta):
        project.down()
        assert not project.containers()
    for project in (projects.alpha, projects.beta):
        project.render()
        project.up()
    projects.wait_ready()
    again = projects.alpha.rpc("alpha-gateway", "eth_getBlockByNumber", head["number"], False)
    assert again["hash"] == head["hash"]
    verify(projects.alpha, *kept)


def notarised(project: Project, folder: Path, content: str) -> tuple[Path, Path]:
    """Notarise a file; the file and its receipt."""
    path = folder / "file.txt"
    path.write_text(content)
    notary = project.url("alpha-notary", "api")
    project.muniment("notarize", path, "--notary", notary, "--receipts", folder / "receipts")
    return path, folder / "receipts" / "file.txt.receipt.json"


def verify(project: Project, path: Path, receipt: Path) -> None:
    """Raises `AssertionError` unless the file is proved."""
    project.muniment("verify", path, "--receipt", receipt, "--rpc", project.url("alpha-gateway", "rpc"))


def create_privately(projects: Projects, *keys: str) -> str:
    """Create a private contract through alpha's gateway, signed outside; its address, when all nodes have its block."""
    alpha = projects.alpha
    said = json.loads(alpha.python("-m", "tests.support.create_privately", alpha.url("alpha-gateway", "rpc"), *keys))

    def probe() -> None:
        for node in ("alpha-1", "alpha-2", "alpha-3", "beta-1"):
            if (head := int(owner(projects, node).rpc(node, "eth_blockNumber"), 16)) < said["block"]:
                raise NotYetError(f"{node} is at block {head}")

    wait_blocking(f"block {said['block']} everywhere", probe, timeout=READY_SECONDS)
    address: str = said["contract"]
    return address


def code(projects: Projects, node: str, address: str) -> str:
    """The code of a contract as a node says."""
    found: str = owner(projects, node).rpc(node, "eth_getCode", address, "latest")
    return found


def owner(projects: Projects, node: str) -> Project:
    """The project that a node is in."""
    return projects.alpha if node.startswith("alpha") else projects.beta


def restarted(project: Project, name: str, before: int) -> None:
    """Raises `NotYetError` while a container was not started again."""
    container = project.containers()[name]
    if container["State"]["Pid"] in (0, before):
        raise NotYetError(f"it is {container['State']['Status']}")
