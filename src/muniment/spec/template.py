"""The specification that `muniment init` writes, with a comment at every field, and the JSON schema for editors."""

from __future__ import annotations

from typing import Any

from muniment.spec.model import Consortium

_TEXT = """\
# Specification of a consortium: what is wanted. `muniment up` makes it so on this machine.
# Every field except members may be left out, and then has the value that stands here.

# Version of this format.
version: 1

# Name of the consortium: a small letter, then at most 19 small letters and digits.
name: consortium

# The chain. The genesis fixes these values: once the chain was started they cannot be changed.
chain:
  # Chain ID (EIP-155) and network ID. Give every network of yours its own.
  id: 1337
  # Who may write the next block: qbft, ibft, raft or clique. Only qbft and ibft tolerate validators that lie.
  consensus: qbft
  # Shortest time between two blocks, in seconds.
  block_period_seconds: 1
  # qbft only: time between two blocks when there is nothing to write, in seconds. It is also how long a lone
  # transaction may wait; an empty block takes about a kilobyte of every node's volume.
  empty_block_period_seconds: 5
  # qbft and ibft: how long a round may take before the next proposer takes over, in seconds. 1 suits nodes of one
  # machine or site and mends the loss of a proposer soonest; nodes that are far apart want 2 or more.
  request_timeout_seconds: 2
  # Gas limit of a block. Gas is free; this is capacity.
  gas_limit: 700000000
  # Memory of a node for its caches. May be changed at any time: nodes are restarted one after the other.
  cache_megabytes: 128

# The private IPFS Cluster of the consortium.
ipfs:
  # On how many peers content is pinned.
  replication:
    # Content counts as stored only when this many peers hold it pinned.
    min: 2
    # This many peers are asked to hold it.
    max: 3
  # Storage that one peer offers: a whole number and MB, GB or TB.
  storage_max: 100GB

# Private transactions. Their payloads are kept by privacy managers, one beside each node.
privacy:
  # Whether there are any. The genesis fixes it, and every member must say the same.
  enabled: true
  # Whether every privacy key of a member has a private state of its own. The genesis fixes it.
  multiple_states: false
  # "strict": nodes, managers, and managers of other members show one another certificates, which `muniment up` makes.
  # "off" suits one machine, where everything listens on 127.0.0.1.
  tls: "off"
  # Whether managers of members that are not in this specification may announce themselves.
  discovery: true

# Ports of the local target, all on 127.0.0.1.
ports:
  # First port. Every member takes 400 from here on, in the order below; all must stay below 32768.
  base: 21000

# Images of the containers, with docker compose and on Kubernetes, where they are not the usual ones:
# quorum, kubo, cluster, haproxy, mariadb, muniment.
# images:
#   muniment: registry.example.org/muniment:0.1.0

# The docker compose target.
compose:
  # Network of the containers; every member that runs here takes 256 addresses of it.
  subnet: 10.213.0.0/16
  # Address by which other operators' members reach this host. Without it nothing is open to them.
  # host: 192.0.2.10

# The Kubernetes target.
kubernetes:
  # Namespace that everything is put into.
  namespace: muniment
  # When images are fetched: IfNotPresent, Always or Never.
  image_pull_policy: IfNotPresent
  # Secrets with credentials of image registries.
  image_pull_secrets: []
  # Volumes: of a node, of a peer, of a notary, and of the MariaDB of a member whose database is sqlite. Without
  # storage_class it is the cluster's default one.
  storage:
    # ReadWriteOnce, or ReadWriteOncePod where the storage's driver knows it.
    access_mode: ReadWriteOnce
    node: {size: 50Gi}
    peer: {size: 120Gi}
    notary: {size: 10Gi}
    database: {size: 10Gi}
  # What each container asks for, and the most memory it may take.
  resources:
    node: {cpu: 250m, memory: 512Mi, memory_limit: 4Gi}
    privacy: {cpu: 50m, memory: 160Mi, memory_limit: 1Gi}
    agent: {cpu: 20m, memory: 96Mi, memory_limit: 256Mi}
    kubo: {cpu: 100m, memory: 256Mi, memory_limit: 2Gi}
    cluster: {cpu: 50m, memory: 128Mi, memory_limit: 1Gi}
    gateway: {cpu: 50m, memory: 64Mi, memory_limit: 512Mi}
    notary: {cpu: 100m, memory: 256Mi, memory_limit: 2Gi}
    database: {cpu: 100m, memory: 256Mi, memory_limit: 1Gi}
  # The Service that clients use: ClusterIP, NodePort or LoadBalancer, and annotations for a provider's load balancer.
  gateway:
    type: ClusterIP
    annotations: {}
  # How other clusters reach this one: see docs/kubernetes.md.
  # outside:
  #   type: LoadBalancer
  #   annotations: {}
  #   addresses: {alpha-1: alpha-1.example.org}
  #   from_networks: [0.0.0.0/0]
  # Whether to write ServiceMonitors; the cluster must know them (Prometheus operator).
  monitoring: false
  # Whether everything is closed but the ports that each part needs.
  network_policies: true

# The members by name: a small letter, then at most 19 small letters and digits.
# Of n validators, qbft and ibft go on while ceil(2n/3) of them run, and tolerate ceil(n/3) - 1 that lie: four are the
# fewest that tolerate one. While no member has more than a third of them, the outage of one member stops nobody.
members:
  alpha:
    # GoQuorum nodes, each with its own key, coinbase and volume (1 to 16; 3 when it is left out).
    nodes: 4
    # How many of the nodes, counted from the first, validate. All when it is left out (and always with raft).
    # validators: 4
    # IPFS peers, each a pair of kubo and cluster service (0 to 16).
    peers: 3
    # Whether this member runs a notary.
    notary: true
    # The member's SQL database, for its notary and its privacy managers.
    database:
      # sqlite (one file for the notary, one for the managers), or postgresql://user@host:port/name, or
      # mysql://user@host:port/name. Of several hosts (host1:port,host2:port) the one that takes writes is used.
      url: sqlite
      # File with the database's password, mode 0600. Passwords never stand here.
      # password_file: database.password
    # Key pairs by which private transactions name this member (1 to 16).
    privacy_keys: 1
    # Further host names by which clients reach this member's gateway; requests for other names are refused.
    hosts: []
    # Further host names and addresses by which others reach this member's managers; they stand in the certificates.
    privacy_hosts: []

  # A member that another operator runs: its public file, which he writes by `muniment member export`.
  # beta:
  #   identity: beta.public.yaml
"""


def commented_specification() -> str:
    """A specification to start from: one member, a chain that tolerates one fault, a comment at every field."""
    return _TEXT


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a specification; what it cannot say (sums over members), `load` checks."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Consortium.model_json_schema()}
