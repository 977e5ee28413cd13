"""Engines: programs that we run and did not write; found on PATH, or built from pinned Go modules."""
