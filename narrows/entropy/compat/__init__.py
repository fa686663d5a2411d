"""Doors for code written against other entropy coders: change an import or add a line, keep the rest.

`compressai` makes a model use this coder, or reads and writes CompressAI's own strings byte for byte;
`constriction`, `torchac` and `torch_ans` take the calls of those libraries. See docs/compat.md.
"""
