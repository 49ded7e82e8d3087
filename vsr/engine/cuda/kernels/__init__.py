"""The text of the CUDA kernels that run networks."""
