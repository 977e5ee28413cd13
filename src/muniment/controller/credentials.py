"""From the configuration of one library to that of the other: both ask the same cluster as the same user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kopf


def connection(config: Any) -> kopf.ConnectionInfo:
    """For kopf, what `targets.kubernetes.client.load_config` found. Raises `kopf.LoginError` for users that only a
    program vouches for."""
    cluster, user = config.cluster, config.user
    if user.exec is not None or user.auth_provider is not None:
        raise kopf.LoginError("the operator takes certificates, tokens and passwords only: give it a service account")
    token = user.token
    if user.token_file:
        token = Path(config.abs_file(user.token_file)).read_text("utf-8").strip()
    return kopf.ConnectionInfo(
        server=cluster.server,
        ca_path=_path(config, cluster.certificate_auth),
        ca_data=cluster.certificate_auth_data,
        insecure=cluster.insecure,
        username=user.username,
        password=user.password,
        token=token,
        certificate_path=_path(config, user.client_cert),
        certificate_data=user.client_cert_data,
        private_key_path=_path(config, user.client_key),
        private_key_data=user.client_key_data,
        default_namespace=config.namespace,
    )


def _path(config: Any, name: str | None) -> str | None:
    return str(config.abs_file(name)) if name else None
