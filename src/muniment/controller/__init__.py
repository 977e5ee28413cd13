"""The operator: keeps consortia on Kubernetes as their resources say, by the same steps as the command line."""
