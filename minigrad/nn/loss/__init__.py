"""The losses. Each goes down from its module through its function and its checks to a kernel."""

from .classes import *
from .derived import *
from .pointwise import *
