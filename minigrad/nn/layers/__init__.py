"""The layers, in files named as those of nn/functional."""

from .activations import *
from .dropout import *
from .linear import *
from .normalization import *
from .sparse import *
