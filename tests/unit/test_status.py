"""The verdict and the document of `status --json`."""

from __future__ import annotations

import json

import pytest

from muniment.operate.record import from_document, to_document
from muniment.operate.status import Verdict
from tests.unit.deployments import record, status


def test_all_is_well() -> None:
    found = status()
    assert (found.verdict, found.cause, found.faults_tolerated) == (Verdict.OK, "", 1)


def test_document() -> None:
    document = status({"alpha-2": "it is behind"}).document()
    assert list(document) == ["verdict", "cause", "faults_tolerated", "members", "workloads"]
    assert document["members"] == {
        "alpha": {
            "rpc": "http://127.0.0.1:21000",
            "ws": "ws://127.0.0.1:21001",
            "notary": "http://127.0.0.1:21003",
            "privacy": "http://127.0.0.1:21005",
            "database": "/srv/state/data/alpha-database/privacy.sqlite",
        },
        "beta": {
            "rpc": "http://127.0.0.1:21400",
            "ws": "ws://127.0.0.1:21401",
            "notary": None,
            "privacy": "http://127.0.0.1:21405",
            "database": "/srv/state/data/beta-database/privacy.sqlite",
        },
    }
    workload = next(each for each in document["workloads"] if each["name"] == "alpha-2")
    endpoints = workload.pop("endpoints")
    assert workload == {
        "name": "alpha-2",
        "member": "alpha",
        "role": "node",
        "running": True,
        "ready": False,
        "cause": "it is behind",
        "pid": 4711,
        "restarts": 0,
    }
    assert endpoints["rpc"] == "http://127.0.0.1:21020"
    assert endpoints["p2p"] == "tcp://127.0.0.1:21022"
    assert endpoints["metrics"] == "http://127.0.0.1:21024/debug/metrics/prometheus"
    json.dumps(document)


@pytest.mark.parametrize(
    ("causes", "verdict", "faults"),
    [
        (["alpha-1"], Verdict.DEGRADED, 0),
        (["alpha-1", "alpha-2"], Verdict.DOWN, 0),
        (["alpha-kubo-1", "alpha-cluster-1"], Verdict.DEGRADED, 1),
        (["beta-gateway"], Verdict.DEGRADED, 1),
        (["alpha-gateway", "beta-gateway"], Verdict.DOWN, 1),
        (["alpha-notary"], Verdict.DOWN, 1),
        (["alpha-agent"], Verdict.DEGRADED, 1),
    ],
)
def test_verdicts(causes: list[str], verdict: Verdict, faults: int) -> None:
    found = status(dict.fromkeys(causes, "it is ill"))
    assert (found.verdict, found.faults_tolerated) == (verdict, faults)
    assert f"{causes[0]}: it is ill" in found.cause


def test_causes_are_few_and_the_worst_comes_first() -> None:
    found = status(dict.fromkeys(["alpha-1", "alpha-2", "alpha-3", "beta-1"], "it is ill"))
    assert found.cause == (
        "no block can be made: 4 of 4 validators are missing;"
        " alpha-1: it is ill; alpha-2: it is ill; alpha-3: it is ill; and 1 more"
    )


def test_stopped_is_one_sentence() -> None:
    found = status(stopped=True)
    assert found.verdict is Verdict.DOWN
    assert found.cause == "demo is stopped: `muniment up` starts it"


def test_target_that_is_ill_is_no_ok() -> None:
    found = status(fault="the supervisor is not running")
    assert (found.verdict, found.cause) == (Verdict.DEGRADED, "the supervisor is not running")


def test_record_survives_its_file() -> None:
    assert from_document(json.loads(json.dumps(to_document(record())))) == record()


@pytest.mark.parametrize("document", [{}, {"consortium": "x"}, [], None])
def test_damaged_record(document: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_document(document)  # type: ignore[arg-type]
