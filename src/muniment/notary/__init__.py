"""The notary service: accepts files, stores them in IPFS, anchors batches on the chain."""
