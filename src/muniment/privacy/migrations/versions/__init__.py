"""The revisions of the privacy store's tables, oldest first."""
