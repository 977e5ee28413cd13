"""Forms a batch: fixes its files, their order, the tree, the header and the directory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.notary.directory import Directory, build
from muniment.notary.values import Member, NewBatch
from muniment.proof.batch import BatchHeader
from muniment.proof.merkle import Tree
from muniment.proof.unixfs import FileSummary

FIRST_PREVIOUS = bytes(32)
"""What the first batch has in place of its predecessor's digest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch stands in its notary's chain of batches. Times in milliseconds since 1970."""

    origin: str
    number: int
    previous: bytes
    opened_at: int
    closed_at: int


def form(members: Sequence[Member], place: Place) -> NewBatch:
    """The batch of `members`, in their order. The same input gives the same bytes."""
    tree = Tree([member.statement for member in members])
    header = BatchHeader(
        origin=place.origin,
        number=place.number,
        previous=place.previous,
        size=len(members),
        root=tree.root,
        opened_at=place.opened_at,
        closed_at=place.closed_at,
    )
    return NewBatch(
        number=place.number,
        size=len(members),
        content_bytes=sum(member.size for member in members),
        root=tree.root,
        header=header.encode(),
        digest=header.digest(),
        previous=place.previous,
        directory=directory_of(members).root,
        opened_at=place.opened_at,
        closed_at=place.closed_at,
    )


def directory_of(members: Sequence[Member]) -> Directory:
    """The UnixFS directory of a batch: every file under its identifier."""
    return build((member.id, summary_of(member)) for member in members)


def summary_of(member: Member) -> FileSummary:
    """What was computed of a file when it arrived."""
    return FileSummary(member.size, member.sha256, member.cid, member.dag_size)


def within(members: Sequence[Member], max_bytes: int) -> Sequence[Member]:
    """The first of `members` that together hold at most `max_bytes`; always at least one."""
    total = 0
    for count, member in enumerate(members):
        total += member.size
        if count and total > max_bytes:
            return members[:count]
    return members
