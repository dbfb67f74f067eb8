"""Kernels in CUDA source, compiled when they are first needed, and their host side. ops_cupy.py is their only user."""
