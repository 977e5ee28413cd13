"""What all targets with containers share: images, what a container finds where, and the step that puts it there."""
