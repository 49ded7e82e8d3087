"""The kinds of networks that are known, each asked in turn."""

from __future__ import annotations

from vsr.nets.families.cugan import RealCUGAN
from vsr.nets.families.rrdbnet import RRDBNet
from vsr.nets.families.span import SPAN
from vsr.nets.families.srvgg import SRVGGNetCompact
from vsr.nets.network import Network

FAMILIES: tuple[type[Network], ...] = (RRDBNet, SRVGGNetCompact, SPAN, RealCUGAN)
