"""Where a topology runs. A target renders, applies, observes and stops workloads; it knows no chain and no IPFS."""
