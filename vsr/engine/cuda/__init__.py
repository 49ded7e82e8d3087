"""Our CUDA kernels: compiling, tables, launches, trials."""
