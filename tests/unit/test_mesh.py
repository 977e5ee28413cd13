"""The judgement of peers, and which connections are missing."""

from __future__ import annotations

from dataclasses import replace

from muniment.agent.mesh import Peer, PeerFitness, View, judge, missing_links

PEERS = tuple(Peer(f"kubo-{i}", f"K{i}", f"cluster-{i}", f"C{i}") for i in (1, 2, 3))


def full() -> dict[str, View]:
    """All connected with all, and nothing else."""
    return {
        peer.kubo_name: View(links=frozenset({"K1", "K2", "K3"} - {peer.kubo_id}), sees=frozenset({"C1", "C2", "C3"}))
        for peer in PEERS
    }


def causes(views: dict[str, View]) -> dict[str, str]:
    """The causes of those that are not ready."""
    return {name: fitness.cause for name, fitness in judge(PEERS, views).items() if not fitness.ready}


def test_a_full_mesh_is_ready() -> None:
    assert judge(PEERS, full())["cluster-2"] == PeerFitness(ready=True, cause="")
    assert causes(full()) == {}
    assert missing_links(PEERS, full(), ()) == ()


def test_a_missing_connection_is_named_on_both_sides_and_dialled_from_one() -> None:
    views = full()
    views["kubo-1"] = replace(views["kubo-1"], links=frozenset({"K3"}))
    views["kubo-2"] = replace(views["kubo-2"], links=frozenset({"K3"}))
    assert causes(views) == {"kubo-1": "not connected to kubo-2", "kubo-2": "not connected to kubo-1"}
    assert missing_links(PEERS, views, ()) == (("kubo-1", "K2"),)


def test_a_dead_peer_makes_nobody_else_unready() -> None:
    views = {name: replace(view, links=view.links - {"K3"}, sees=view.sees - {"C3"}) for name, view in full().items()}
    views["kubo-3"] = View(kubo_cause="does not answer", cluster_cause="does not answer")
    assert causes(views) == {"kubo-3": "does not answer", "cluster-3": "does not answer"}
    assert missing_links(PEERS, views, ()) == ()


def test_a_cluster_service_without_its_kubo_is_not_ready() -> None:
    views = full()
    views["kubo-3"] = replace(views["kubo-3"], kubo_cause="does not answer")
    assert causes(views) == {"kubo-3": "does not answer", "cluster-3": "its kubo-3 does not answer"}


def test_a_cluster_service_that_does_not_see_a_sibling_is_not_ready() -> None:
    views = full()
    views["kubo-1"] = replace(views["kubo-1"], sees=frozenset({"C1"}))
    assert causes(views) == {"cluster-1": "does not see cluster-2, cluster-3"}


def test_kubos_of_other_members_are_dialled_and_not_required() -> None:
    views = full()
    views["kubo-2"] = replace(views["kubo-2"], links=views["kubo-2"].links | {"F"})
    assert causes(views) == {}
    assert missing_links(PEERS, views, ("F",)) == (("kubo-1", "F"), ("kubo-3", "F"))


def test_a_member_without_peers() -> None:
    assert judge((), {}) == {}
    assert missing_links((), {}, ("F",)) == ()
