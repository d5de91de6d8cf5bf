"""The workloads: one file each, all of the same shape, listed in ``benchmarks.registry``."""
