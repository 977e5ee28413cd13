"""How many agents a member has, and whom each thing asks. Pure.

On one machine a member has one agent: `alpha-agent`. Where every node is a pod of its own, each has an agent beside it,
`alpha-agent-1` with `alpha-1`, so that no pod depends on another one to be judged. Every agent watches all nodes of its
member, because a node is judged against its siblings.
"""

from __future__ import annotations

from enum import StrEnum

from muniment.identity.model import MemberIdentity


class Layout(StrEnum):
    """Where the agents of a member are."""

    MEMBER = "member"
    """One for the member."""
    PODS = "pods"
    """One beside each node."""

    @property
    def notaries(self) -> int:
        """How many notaries of a member share its database, each with a volume of its own."""
        return 1 if self is Layout.MEMBER else 2

    def agents(self, member: MemberIdentity) -> tuple[str, ...]:
        """Names of the member's agents."""
        if self is Layout.MEMBER:
            return (f"{member.member}-agent",)
        return tuple(self.of_node(node.name) for node in member.nodes)

    def of_node(self, node: str) -> str:
        """The agent that is asked for this node: `alpha-agent-1` for `alpha-1` with an agent beside each node."""
        member, _, number = node.rpartition("-")
        return f"{member}-agent" if self is Layout.MEMBER else f"{member}-agent-{number}"

    def of_peer(self, member: MemberIdentity, index: int) -> str:
        """The agent that is asked for the peer of this index; with several agents they take turns."""
        names = self.agents(member)
        return names[(index - 1) % len(names)]
