"""Measure codecs: quality metrics, rate curves and their differences. Needs NumPy only."""
