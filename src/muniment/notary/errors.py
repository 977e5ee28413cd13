"""Errors of the notary beside those of the kernel: each becomes one kind of answer of the API."""

from __future__ import annotations

from muniment.kernel.errors import InputError, PermanentError, TemporaryError


class RefusedUploadError(InputError):
    """The upload is wrong and nothing of it was kept; `status` is the HTTP status that says how."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class UnknownFileError(PermanentError):
    """No file has this identifier (status 404)."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"no file has the identifier {identifier}: use one that an upload answered with")


class StuckBatchError(PermanentError):
    """A batch cannot go on as it is; its cause is kept with it, others go on."""


class NumberTakenError(TemporaryError):
    """Another notary of the member formed the batch with this number a moment before."""


class LostLeaseError(TemporaryError):
    """Another notary of the member anchors by now; nothing was written."""
