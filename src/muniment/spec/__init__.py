"""What is wanted: the models of `consortium.yaml`, and how it is read."""
