"""The agent of a member: judges the fitness of its nodes and peers."""
