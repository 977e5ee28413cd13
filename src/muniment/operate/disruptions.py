"""How many validators may be taken away on purpose, by drains of machines for example. Pure."""

from __future__ import annotations

from muniment.identity.model import Identities
from muniment.operate.health import outages_tolerated
from muniment.spec.model import Consortium


def validators_at_once(spec: Consortium, identities: Identities) -> int:
    """One at most, and none when the chain would stand still: the rest of what it tolerates is for what happens by
    itself."""
    return min(1, outages_tolerated(spec.chain.consensus, len(identities.validators)))


def own_validators(identities: Identities) -> frozenset[str]:
    """Names of this operator's nodes that validate."""
    return frozenset(
        node.name
        for member in identities.members
        if member.member in identities.own
        for node in member.nodes
        if node.validator
    )
