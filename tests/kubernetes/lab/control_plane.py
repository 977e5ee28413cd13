"""The control plane: etcd, API server, controllers, scheduler, in one network namespace."""

from __future__ import annotations

from tests.kubernetes.lab.processes import Processes, in_network
from tests.kubernetes.lab.settings import API_PORT, DOMAIN, Settings

LOST_AFTER_SECONDS = 12
"""A node that was not heard of for so long is not ready."""

EVICT_AFTER_SECONDS = 10
"""So much later its pods are deleted."""


def start_api(settings: Settings, processes: Processes) -> None:
    """etcd and the API server; returns at once."""
    keys = settings.keys
    etcd = {
        "name": "cp",
        "data-dir": settings.in_memory / "etcd",
        "listen-client-urls": "http://127.0.0.1:2379",
        "advertise-client-urls": "http://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "initial-cluster": "cp=http://127.0.0.1:2380",
        "log-level": "warn",
        "unsafe-no-fsync": "true",
    }
    api = {
        "advertise-address": settings.api_address,
        "bind-address": "0.0.0.0",
        "secure-port": API_PORT,
        "etcd-servers": "http://127.0.0.1:2379",
        "service-cluster-ip-range": f"{settings.service_network}.0.0/16",
        "allow-privileged": "true",
        "client-ca-file": keys / "ca.crt",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "kubelet-certificate-authority": keys / "ca.crt",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
        "service-account-key-file": keys / "accounts.pub",
        "service-account-signing-key-file": keys / "accounts.key",
        "requestheader-client-ca-file": keys / "front-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": keys / "front-proxy.crt",
        "proxy-client-key-file": keys / "front-proxy.key",
        "enable-aggregator-routing": "true",
        "default-not-ready-toleration-seconds": EVICT_AFTER_SECONDS,
        "default-unreachable-toleration-seconds": EVICT_AFTER_SECONDS,
        "event-ttl": "2h",
    }
    _start(settings, processes, "etcd", etcd)
    _start(settings, processes, "kube-apiserver", api)


def start_controllers(settings: Settings, processes: Processes) -> None:
    """Controllers and scheduler; the API server must be ready."""
    keys = settings.keys
    _start(
        settings,
        processes,
        "kube-controller-manager",
        {
            **_users(settings, "controller-manager"),
            "use-service-account-credentials": "true",
            "root-ca-file": keys / "ca.crt",
            "service-account-private-key-file": keys / "accounts.key",
            "cluster-signing-cert-file": keys / "ca.crt",
            "cluster-signing-key-file": keys / "ca.key",
            "node-monitor-period": "1s",
            "node-monitor-grace-period": f"{LOST_AFTER_SECONDS}s",
        },
    )
    _start(settings, processes, "kube-scheduler", _users(settings, "scheduler"))


def _users(settings: Settings, name: str) -> dict[str, object]:
    kubeconfig = settings.keys / f"{name}.kubeconfig"
    names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return {**dict.fromkeys(names, kubeconfig), "bind-address": "127.0.0.1", "leader-elect": "false"}


def _start(settings: Settings, processes: Processes, name: str, options: dict[str, object]) -> None:
    given = [f"--{option}={value}" for option, value in options.items()]
    processes.start(name, in_network(settings.control_plane, settings.binaries / name, *given))
