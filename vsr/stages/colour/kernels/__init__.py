"""The text of the CUDA kernels that convert colours."""
