"""Data sets and loaders; what optional packages are asked for."""

from . import data
