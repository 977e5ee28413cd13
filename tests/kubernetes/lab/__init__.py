"""A real Kubernetes of three nodes on this machine, for tests: control plane, kubelets, containers, DNS, policies.

One network namespace holds the control plane, one each node; none has an uplink, so no packet leaves the machine and no
address collides with the host's. A node is a process tree of its own, so that it can be switched off at once.
"""
