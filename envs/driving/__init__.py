"""Road worlds: our own kernels, one thread per world and agent, and their tasks."""
