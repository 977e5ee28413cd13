"""Key material: made once in Python, kept apart from state, never overwritten; public parts as one file a member."""
