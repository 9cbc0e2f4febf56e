"""The layers, in files named as those of nn/functional."""

from .activations import *
from .dropouts import *
from .embeddings import *
from .linears import *
from .normalizations import *
