"""Fixed changes of coordinates, without learning."""
