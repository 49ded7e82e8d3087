"""The tests. They mirror the package, and each is named after what it promises."""

import os

# Before PyTorch is loaded, here and in every process that a test starts: pictures are small here,
# and threads that wait for each other busily take more time than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
