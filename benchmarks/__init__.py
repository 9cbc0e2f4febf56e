"""minigrad beside its rivals: the only room that runs PyTorch and JAX. Imports as
minigrad.benchmarks; see README.md here."""
