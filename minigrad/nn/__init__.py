"""Layers, losses and what models are built from."""

from . import functional, init, utils
from .layers import *
from .loss.modules import *
from .module import *
