"""Multiaddresses of TCP endpoints (multiformats/multiaddr), as libp2p programs write addresses. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from muniment.identity.model import Endpoint


def tcp(endpoint: Endpoint) -> str:
    """`/ip4/127.0.0.1/tcp/4001`, `/ip6/…` or, for a DNS name, `/dns4/…`."""
    try:
        protocol = f"ip{ip_address(endpoint.host).version}"
    except ValueError:
        protocol = "dns4"
    return f"/{protocol}/{endpoint.host}/tcp/{endpoint.port}"


def of_peer(endpoint: Endpoint, peer_id: str) -> str:
    """The endpoint's address with the libp2p identity that must answer there: `…/p2p/12D3KooW…`."""
    return f"{tcp(endpoint)}/p2p/{peer_id}"
