"""Layers, losses and what models are built from."""

from . import functional, init, utils
from .layers import *  # noqa: F403
from .losses import *  # noqa: F403
from .module import Module, ModuleDict, ModuleList, Parameter, Sequential
