"""The revisions of the notary's tables, oldest first."""
