"""Receipts, cut when they are asked for, from the statements, the tree and the anchor."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from muniment.notary.doors import BatchStore
from muniment.notary.values import Anchor, FileView, State
from muniment.proof.merkle import Tree

KEPT_TREES: Final = 16
"""Trees of recent batches in memory, about 200 bytes per leaf."""


AT_A_TIME: Final = 500
"""Files whose statements are read together."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a leaf stands in its batch."""

    index: int
    size: int
    root: bytes
    path: Sequence[bytes]
    header: bytes


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that goes into one receipt; `position` and `anchor` once the file has them."""

    name: str
    statement: bytes
    position: Position | None
    anchor: Anchor | None


Cut = Callable[[Material], str]
"""Writes a receipt as one line of JSON."""


class _Leaves:
    """A batch's leaves and the tree over them."""

    def __init__(self, statements: Sequence[tuple[str, bytes]]) -> None:
        self.statements = [statement for _, statement in statements]
        self.index = {identifier: index for index, (identifier, _) in enumerate(statements)}
        self.tree = Tree(self.statements)


@dataclass(frozen=True, slots=True)
class _Batch:
    leaves: _Leaves
    header: bytes
    anchor: Anchor | None


class Receipts:
    """Cuts receipts for files as `Notary.files` returned them."""

    def __init__(self, store: BatchStore, cut: Cut) -> None:
        self._store = store
        self._cut = cut
        self._kept: OrderedDict[int, _Leaves] = OrderedDict()

    async def of(self, files: Sequence[FileView]) -> AsyncIterator[str]:
        """The receipts of `files` in order, each at the level that its file had reached."""
        batches: dict[int, _Batch] = {}
        for start in range(0, len(files), AT_A_TIME):
            some = files[start : start + AT_A_TIME]
            pending = await self._store.statements_of([file.id for file in some if file.batch is None])
            materials = []
            for file in some:
                if file.batch is None:
                    materials.append(Material(file.name, pending[file.id], None, None))
                    continue
                if file.batch not in batches:
                    batches[file.batch] = await self._batch(file.batch)
                materials.append(_material(file, batches[file.batch]))
            # Thousands of them take long enough to keep everybody else waiting.
            for text in await asyncio.to_thread(list, map(self._cut, materials)):
                yield text

    async def _batch(self, number: int) -> _Batch:
        batch = await self._store.batch(number)
        assert batch is not None  # noqa: S101 - a file's batch is a foreign key
        return _Batch(await self._leaves(number), batch.fixed.header, batch.anchor)

    async def _leaves(self, number: int) -> _Leaves:
        leaves = self._kept.get(number)
        if leaves is None:
            leaves = _Leaves(await self._store.statements(number))
            self._kept[number] = leaves
            if len(self._kept) > KEPT_TREES:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return leaves


def _material(file: FileView, batch: _Batch) -> Material:
    leaves = batch.leaves
    index = leaves.index[file.id]
    position = Position(index, leaves.tree.size, leaves.tree.root, leaves.tree.path(index), batch.header)
    anchor = batch.anchor if file.state is State.ANCHORED else None
    return Material(file.name, leaves.statements[index], position, anchor)
