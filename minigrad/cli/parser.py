"""Reading the command line: errors in one line, with the nearest option suggested."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from typing import Any, NoReturn

from minigrad.errors import OptionError, unknown
from minigrad.runs import Config, TrainConfig
from minigrad.runs.config import synonyms

__all__ = ["Parser", "add_config_options", "given_options", "plain"]


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


def add_config_options(
    parser: argparse._ActionsContainer, config: type[Config] = TrainConfig
) -> None:
    """Add an option for every field of a kind of config with its help and default.

    An option that is not given does not appear in the parsed arguments, so that a file can set it.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        shown = plain(field.default) or "none"
        settings: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "help": f"{field.metadata['help']} (default: {shown})".replace("%", "%%"),
        }
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif kind in (int, float, str):
            settings |= {"type": kind, "metavar": _METAVAR[kind]}
        else:
            settings |= {"type": int, "nargs": "+", "metavar": "N"}
        parser.add_argument(f"--{field.name.replace('_', '-')}", **settings)


def plain(value: Any) -> str:
    """Return an option's value as one says it on the command line."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def given_options(args: argparse.Namespace, config: type[Config] = TrainConfig) -> dict[str, Any]:
    """Return the options of a kind of config that stood on the command line."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in vars(args).items() if name in names}


_METAVAR: dict[Any, str] = {int: "N", float: "X", str: "NAME"}
