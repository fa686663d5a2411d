"""Recipes that make the weights shipped in the wheel. Needs the extra `neural`."""
