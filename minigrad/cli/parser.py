"""Reading the command line: errors in one line, with the nearest option suggested."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from minigrad.errors import OptionError, unknown
from minigrad.runs.config import synonyms

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that shows every default and raises `OptionError` instead of exiting."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; see {self.prog} --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = super().parse_known_args(args, namespace)
        for word in rest:
            if word.startswith("-"):
                options = [name for name in self._option_string_actions if name[:2] == "--"]
                ours = synonyms(name[2:].replace("-", "_") for name in options)
                others = {
                    f"--{a}".replace("_", "-"): f"--{b}".replace("_", "-") for a, b in ours.items()
                }
                name = word.partition("=")[0].replace("_", "-")
                raise unknown(f"option of {self.prog}", name, options, others)
        return parsed, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Suggest the nearest name where argparse only lists all of them."""
        if action.choices is not None and value not in action.choices:
            kind = action.option_strings[0] if action.option_strings else action.dest
            raise unknown(kind, value, map(str, action.choices))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions, and shows defaults."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, argparse.SUPPRESS, False, "") or "(default: " in text:
            return text
        return f"{text} (default: %(default)s)"
