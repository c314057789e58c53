"""Embedders, one module each with `build(options)`, imported only when chosen."""
