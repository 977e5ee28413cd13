"""Container images: how they are made (`*/Dockerfile`), and all of them built without a registry."""
