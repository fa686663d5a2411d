"""Where a latent becomes symbols: one file a bottleneck, each a torch module of one interface."""
