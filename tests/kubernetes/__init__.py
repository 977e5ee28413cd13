"""Tests on a real Kubernetes of several nodes, and of the chart."""
