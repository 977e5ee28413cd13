"""Engines: the programs that muniment runs and did not write, found here or built from pinned Go modules."""
