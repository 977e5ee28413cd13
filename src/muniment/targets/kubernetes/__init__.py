"""The Kubernetes target: a topology as objects of a namespace."""
