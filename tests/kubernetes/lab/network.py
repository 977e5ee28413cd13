"""The networks of a lab: a bridge in the control plane's namespace, a link to each node, routes between their pods."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.lab.processes import in_network, run
from tests.kubernetes.lab.settings import Settings


def make(settings: Settings) -> None:
    """Make all network namespaces. Nothing outside them is touched."""
    own, bridge = settings.control_plane, f"{settings.prefix}-br"
    run("ip", "netns", "add", own)
    _ip(own, "link", "set", "lo", "up")
    _ip(own, "link", "add", bridge, "type", "bridge")
    _ip(own, "addr", "add", f"{settings.api_address}/24", "dev", bridge)
    _ip(own, "link", "set", bridge, "up")
    _set(own, "net/bridge/bridge-nf-call-iptables", "0")
    for number in settings.numbers:
        _make_node(settings, number, bridge)


def cut(settings: Settings, number: int) -> None:
    """Take a node off the network; it lives on."""
    _ip(settings.control_plane, "link", "set", _link(settings, number), "down")


def heal(settings: Settings, number: int) -> None:
    """The end of `cut`."""
    _ip(settings.control_plane, "link", "set", _link(settings, number), "up")
    route = ("route", "replace", settings.pods_of(number), "via", settings.node_address(number))
    _ip(settings.control_plane, *route)


def remove(settings: Settings) -> None:
    """Delete all network namespaces that are there."""
    for name in (*map(settings.node, settings.numbers), settings.control_plane):
        if Path("/run/netns", name).exists():
            run("ip", "netns", "del", name)


def _make_node(settings: Settings, number: int, bridge: str) -> None:
    name, link, own = settings.node(number), _link(settings, number), settings.control_plane
    run("ip", "netns", "add", name)
    run("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", link, "netns", own)
    _ip(own, "link", "set", link, "master", bridge, "up")
    _ip(own, "route", "add", settings.pods_of(number), "via", settings.node_address(number))
    _ip(name, "link", "set", "lo", "up")
    _ip(name, "addr", "add", f"{settings.node_address(number)}/24", "dev", "eth0")
    _ip(name, "link", "set", "eth0", "up")
    _ip(name, "route", "add", "default", "via", settings.api_address)
    for other in settings.numbers:
        if other != number:
            _ip(name, "route", "add", settings.pods_of(other), "via", settings.node_address(other))
    _set(name, "net/ipv4/ip_forward", "1")
    # A pod that asks a Service which ends in a pod of the same node goes through the rules of the Service too.
    _set(name, "net/bridge/bridge-nf-call-iptables", "1")


def _link(settings: Settings, number: int) -> str:
    return f"{settings.prefix}-v{number}"


def _ip(namespace: str, *arguments: str) -> None:
    run(*in_network(namespace, "ip", *arguments))


def _set(namespace: str, name: str, value: str) -> None:
    run(*in_network(namespace, "tee", f"/proc/sys/{name}"), text=value)
