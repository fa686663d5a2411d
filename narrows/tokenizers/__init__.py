"""Signals to ids and back: one file a medium. Nothing here imports torch."""
