"""Learned blocks, and transforms that networks are trained through, for use by two or more codecs."""
