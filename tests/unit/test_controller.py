"""The operator's parts against an API server in memory: what it keeps, what it refuses, who leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from muniment.controller import conditions, lease
from muniment.controller.keeper import Keeper
from muniment.controller.lease import Leadership
from muniment.controller.resource import definition, owner_reference, specification
from muniment.kernel.errors import InputError, PermanentError
from muniment.kernel.files import make_private_directory
from muniment.kernel.waiting import NotYetError, wait_for
from muniment.targets.kubernetes.client import Api, connect
from tests.support.kube_api import KubeApi
from tests.unit.deployments import status

SPEC = {"members": {"alpha": {"nodes": 1, "peers": 0, "notary": False}}, "ipfs": {"replication": {"min": 1, "max": 1}}}
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"


@pytest.fixture
def api(cluster: KubeApi, tmp_path: Path) -> Api:
    return connect(cluster.kubeconfig(tmp_path), None, None, patience=0.2)


def resource(spec: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    metadata = {"name": "demo", "namespace": "default", "uid": "u1", "generation": generation}
    return {"apiVersion": "muniment.io/v1alpha1", "kind": "Consortium", "metadata": metadata, "spec": spec}


@asynccontextmanager
async def keeping(api: Api, cluster: KubeApi, work: Path, spec: dict[str, Any]) -> AsyncIterator[Keeper]:
    """A keeper that leads."""
    cluster.put("consortia", resource(spec))
    leading = asyncio.Event()
    leading.set()
    await asyncio.to_thread(make_private_directory, work)
    keeper = Keeper(api, cluster.objects["consortia", "demo"], work, leading)
    running = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        running.cancel()
        await asyncio.wait([running])


def progress(cluster: KubeApi) -> dict[str, Any]:
    found = cluster.objects["consortia", "demo"].get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == "Progressing"), {})


async def until(what: str, holds: Callable[[], bool]) -> None:
    async def probe() -> None:
        if not holds():
            raise NotYetError("not yet")

    await wait_for(what, probe, timeout=60)


@pytest.mark.anyio
async def test_what_the_resource_says_is_made_and_told(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    async with keeping(api, cluster, tmp_path / "work", SPEC):
        await until("the pass", lambda: progress(cluster).get("reason") == "Applied")
        await until("the look", lambda: "verdict" in cluster.objects["consortia", "demo"]["status"])
    assert cluster.names("statefulsets") == ["alpha-1", "alpha-database"]
    assert "demo-identities-1" in cluster.names("secrets")
    assert cluster.objects["statefulsets", "alpha-1"]["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert "ownerReferences" not in cluster.objects["secrets", "alpha-1-identity"]["metadata"]
    found = cluster.objects["consortia", "demo"]["status"]
    assert (found["observedGeneration"], found["ready"], found["verdict"]) == (1, "0/5", "down")
    # Nothing is left of what it worked on, secrets among it.
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.anyio
async def test_another_one_goes_on_with_the_same_identities(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    async with keeping(api, cluster, tmp_path / "one", SPEC):
        await until("the Secrets", lambda: "demo-identities-1" in cluster.names("secrets"))
    before = dict(cluster.objects["secrets", "demo-identities-1"])
    async with keeping(api, cluster, tmp_path / "two", SPEC):
        await until("the pass", lambda: progress(cluster).get("reason") == "Applied")
    assert cluster.objects["secrets", "demo-identities-1"] == before
    assert [name for name in cluster.names("secrets") if "identities" in name] == ["demo-identities-1"]


@pytest.mark.anyio
async def test_what_somebody_deleted_comes_back(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    async with keeping(api, cluster, tmp_path / "work", SPEC) as keeper:
        await until("the pass", lambda: progress(cluster).get("reason") == "Applied")
        del cluster.objects["services", "alpha-gateway"]
        keeper.touch()
        await until("the Service", lambda: "alpha-gateway" in cluster.names("services"))


@pytest.mark.anyio
async def test_what_is_wrong_is_refused_with_its_sentence_and_taken_up_when_mended(
    api: Api, cluster: KubeApi, tmp_path: Path
) -> None:
    async with keeping(api, cluster, tmp_path / "work", {**SPEC, "memberz": {}}) as keeper:
        await until("the refusal", lambda: progress(cluster).get("reason") == "Refused")
        assert progress(cluster)["message"] == "spec.memberz: there is no such field; did you mean members?"
        assert cluster.names("statefulsets") == []
        keeper.notice(resource(SPEC, generation=2))
        await until("the pass", lambda: progress(cluster).get("reason") == "Applied")


@pytest.mark.anyio
async def test_who_does_not_lead_changes_nothing(api: Api, cluster: KubeApi, tmp_path: Path) -> None:
    cluster.put("consortia", resource(SPEC))
    keeper = Keeper(api, cluster.objects["consortia", "demo"], tmp_path, asyncio.Event())
    running = asyncio.create_task(keeper.run())
    keeper.touch()
    await asyncio.wait([running], timeout=0.3)
    running.cancel()
    assert cluster.writes() == []


def test_the_name_of_the_resource_is_the_consortiums() -> None:
    assert specification(resource(SPEC)).name == "demo"
    with pytest.raises(InputError, match=r"spec\.name is 'other': it must be demo"):
        specification(resource({**SPEC, "name": "other"}))
    assert owner_reference(resource(SPEC))["name"] == "demo"


def test_the_definition_is_named_by_its_plural_and_group() -> None:
    found = definition()
    assert found["metadata"]["name"] == "consortia.muniment.io"
    assert found["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_conditions_keep_the_time_of_their_last_transition() -> None:
    first = conditions.serving({}, status({"alpha-1": "it lags"}), NOW)
    assert (first["verdict"], first["ready"]) == ("degraded", "18/19")
    again = conditions.serving(first, status({"alpha-1": "it lags more"}), LATER)
    assert again["conditions"][0]["lastTransitionTime"] == NOW
    whole = conditions.serving(again, status(), LATER)
    assert whole["conditions"][0] == {
        **{"type": "Ready", "status": "True", "reason": "Ok", "message": ""},
        "lastTransitionTime": LATER,
    }
    both = {**whole, **conditions.progressing(whole, 3, False, "Refused", "no", LATER)}
    assert [one["type"] for one in both["conditions"]] == ["Progressing", "Ready"]
    assert both["observedGeneration"] == 3
    assert not conditions.differs(both, conditions.serving(both, status(), LATER))


@pytest.mark.anyio
async def test_one_leads_and_the_next_one_when_it_gave_back(api: Api, cluster: KubeApi) -> None:
    first, second = Leadership(api, "operator", "one"), Leadership(api, "operator", "two")
    tasks = [asyncio.create_task(first.keep())]
    await until("the first", first.held.is_set)
    tasks.append(asyncio.create_task(second.keep()))
    await asyncio.wait(tasks, timeout=0.3)
    assert not second.held.is_set()
    tasks[0].cancel()
    await first.give_back()
    await until("the second", second.held.is_set)
    assert cluster.objects["leases", "operator"]["spec"]["holderIdentity"] == "two"
    assert cluster.objects["leases", "operator"]["spec"]["leaseTransitions"] == 2
    tasks[1].cancel()
    await asyncio.wait(tasks)


@pytest.mark.anyio
async def test_one_that_cannot_renew_stops(api: Api, cluster: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease, "GIVE_UP_SECONDS", 0.3)
    leadership = Leadership(api, "operator", "one")
    task = asyncio.create_task(leadership.keep())
    await until("the lease", leadership.held.is_set)
    cluster.failures = [503] * 1000
    with pytest.raises(PermanentError, match="lost its lease"):
        await asyncio.wait_for(task, 10)
    assert not leadership.held.is_set()


@pytest.mark.anyio
async def test_a_silent_leader_is_followed_after_the_leases_duration(
    api: Api, cluster: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    silent = {"holderIdentity": "gone", "renewTime": "2020-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1}
    cluster.put("leases", {"metadata": {"name": "operator"}, "spec": silent})
    waiting = Leadership(api, "operator", "two")
    task = asyncio.create_task(waiting.keep())
    await asyncio.wait([task], timeout=0.5)
    # Its renewal is long ago by our clock, but that is another machine's clock.
    assert not waiting.held.is_set()
    await until("the lease", waiting.held.is_set)
    task.cancel()
    await asyncio.wait([task])
