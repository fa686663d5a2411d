"""`narrows models`: the weights that are installed, and adding to them. Nothing is ever downloaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from narrows.cli import options
from narrows.cli.outcome import DONE, NO
from narrows.cli.terminal import Terminal, plural
from narrows.errors import ModelError, OptionError

if TYPE_CHECKING:
    from narrows.models import Model

NAME = "models"
USAGE = "narrows models list | show NAME | add FILE | path NAME | check"
SUMMARY = "list, show, add, find and check weights"
EXAMPLES = """\
  narrows models list
  narrows models show wave                       its metadata and its card
  narrows models add photo-3f2a9c417be05d10.safetensors
  narrows models path wave
  narrows models check                           every hash; exit code 1 if one differs"""
_ACTIONS = {"list": 0, "show": 1, "add": 1, "path": 1, "check": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `models` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("what", nargs="?", metavar="NAME|FILE", help="a model by name or hash; a file to add")
    options.add_talk(parser, json=True)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do the action."""
    from narrows import models

    if (args.what is not None) != bool(_ACTIONS[args.action]):
        wanted = "one NAME or FILE" if _ACTIONS[args.action] else "nothing more"
        raise OptionError(f"models {args.action} takes {wanted}")
    if args.action == "add":
        added = models.add(args.what)
        terminal.note(f"{added.name}-{added.hash} added as {added.path}")
        return DONE
    if args.action in ("list", "check"):
        found = models.installed()
        return max((_list(model, args, terminal) for model in found), default=DONE)
    model = _named(args.what)
    if args.action == "path":
        terminal.result(str(model.path))
        return DONE
    _show(model, args, terminal)
    return DONE


def _list(model: Model, args: argparse.Namespace, terminal: Terminal) -> int:
    from narrows import models

    problem = None
    if args.action == "check":
        try:
            models.check(model.path)
        except ModelError as error:
            problem = error.message
    if args.json:
        values = {
            "name": model.name,
            "hash": model.hash,
            "num_bytes": model.num_bytes,
            "path": str(model.path),
        }
        terminal.json(f"narrows.models.{args.action}/1", **values, problem=problem)
    else:
        state = f"  failed  {problem}" if problem else "  ok" if args.action == "check" else ""
        terminal.result(f"{model.name}-{model.hash}  {plural(model.num_bytes, 'byte')}{state}")
    return NO if problem else DONE


def _show(model: Model, args: argparse.Namespace, terminal: Terminal) -> None:
    from narrows import models

    about = dict(models.metadata(model.path))
    if args.json:
        values = {
            "name": model.name,
            "hash": model.hash,
            "num_bytes": model.num_bytes,
            "path": str(model.path),
        }
        terminal.json("narrows.models.show/1", **values, metadata=about)
        return
    terminal.result(f"{model.name}-{model.hash}  {plural(model.num_bytes, 'byte')}  {model.path}")
    for key, value in sorted(about.items()):
        terminal.result(f"  {key}: {value}")
    cards = [model.path.with_suffix(".md"), model.path.with_name(f"{model.name}.md")]
    for card in filter(lambda path: path.is_file(), cards):
        terminal.result("\n" + card.read_text(encoding="utf-8").rstrip())
        break


def _fields(model: Model) -> dict[str, Any]:
    return {"name": model.name, "hash": model.hash, "num_bytes": model.num_bytes, "path": str(model.path)}


def _named(what: str) -> Model:
    from narrows import models

    found = models.installed()
    for model in found:
        if what in (model.name, model.hash, f"{model.name}-{model.hash}", model.path.name):
            return model
    known = ", ".join(f"{model.name}-{model.hash}" for model in found) or "none"
    error = OptionError(f"no model {what!r} is installed; installed: {known}")
    error.hint = "narrows models add FILE"
    raise error
