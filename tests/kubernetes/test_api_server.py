"""A real API server takes every manifest as it is: formats, rules between fields, the profile `restricted`."""

from __future__ import annotations

from typing import Any

import pytest

from muniment.cli.render_kubernetes import dump
from muniment.spec.model import Consortium
from muniment.targets.kubernetes.addresses import KubernetesAddresses, settled
from muniment.targets.kubernetes.budgets import Disruptions
from muniment.targets.kubernetes.manifests import identity_secrets, manifests, namespace
from muniment.topology.derive import derive
from muniment.topology.layout import Layout
from muniment.topology.model import Program
from tests.kubernetes.lab.lab import Lab
from tests.unit.identities import consortium, member

PLACE = "checked"
IDENTITIES = consortium(member("alpha", first_key=1, nodes=3, peers=3), member("beta", first_key=50, nodes=1))
MEMBERS: dict[str, Any] = {"alpha": {"nodes": 3, "peers": 3}, "beta": {"nodes": 1, "peers": 0, "notary": False}}
OUTSIDE = {"addresses": {"alpha-1": "n1.example.org"}, "from_networks": ["192.0.2.0/24"]}


@pytest.mark.parametrize(
    "kubernetes",
    [
        {},
        {"outside": OUTSIDE, "gateway": {"type": "NodePort"}, "image_pull_secrets": ["registry"]},
        {"storage": {"access_mode": "ReadWriteOncePod", "node": {"size": "1Ti", "storage_class": "fast"}}},
    ],
)
def test_every_manifest_is_taken(kubernetes: dict[str, Any], lab: Lab) -> None:
    document = {"name": "checked", "members": MEMBERS, "kubernetes": {"namespace": PLACE, **kubernetes}}
    spec = settled(Consortium.model_validate(document))
    topology = derive(spec, IDENTITIES, KubernetesAddresses(spec), "{}\n", Layout.PODS)
    images = {program: f"registry.example/{program.value}:1" for program in Program}
    made = manifests(topology, spec, images, Disruptions(frozenset({"alpha-1", "beta-1"}), 1))
    made += identity_secrets(topology, spec, lambda path: path)
    lab.kubectl("apply", "--filename", "-", text=dump([namespace(spec)]))
    told = lab.kubectl("apply", "--dry-run=server", "--warnings-as-errors", "--filename", "-", text=dump(made))
    assert len(told.splitlines()) == len(made)
    assert all(line.endswith("(server dry run)") for line in told.splitlines())
