"""Gives the process that finds this file the GPU that its environment tells of."""

from tests.support.cuda.host.gpu import from_environment

if (_gpu := from_environment()) is not None:
    _gpu.install()
