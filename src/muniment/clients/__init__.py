"""Async clients of the engines and of the notary: transport and errors, no policy."""
