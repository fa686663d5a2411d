"""Narrows: codecs for images, audio, text and more over one exact integer entropy coder.

Names are imported when they are first used, so that `import narrows` costs next to nothing and torch is not
imported. Their types are in __init__.pyi.
"""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "api": "Preset Verification codec decode decode_file decoder encode encode_file encoder tokenizer verify",
    "stream": "Info Stream info open",
    "contracts": "Want",
    "errors": "CorruptStream LimitExceeded MissingExtra ModelError ModelNotFound NarrowsError OptionError "
    "PacketError SignalError StreamError TruncatedStream UnsupportedStream",
    "limits": "Limits",
    "registry": "list_codecs list_tokenizers",
    "signals": "Audio Blob Formulas Image Tokens Vectors Video equal from_tensor to_tensor",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES = ("entropy", "models")

__all__ = sorted([*_HOME_OF, *_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"narrows.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"narrows.{_HOME_OF[name]}"), name)
    except ImportError as error:
        if error.name == "narrows._core":
            raise ImportError("the compiled core is missing: run `make` or `pip install -e .`") from None
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
