"""muniment: a highly available GoQuorum consortium and a private IPFS Cluster, and files notarised in them."""

__version__ = "0.1.0"
