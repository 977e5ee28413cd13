"""A topology as a folder for docker compose. Compose itself starts, watches and stops it."""
