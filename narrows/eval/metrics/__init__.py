"""Quality of a decoded signal against its original, one module per kind of signal."""
