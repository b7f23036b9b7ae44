"""`edgesweep failure`: the catalogue of causes, and what a user teaches it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from edgesweep.cli.options import Settings, pass_settings, print_json

if TYPE_CHECKING:
    from edgesweep.store.messages import StoredMessage

#: Hex digits of a SHA-256.
_WHOLE = 64

_EPILOG = """\b
Examples:
  edgesweep failure list                                        every cause with its remedy
  edgesweep failure show oom_device                             one cause
  edgesweep failure show 3f2a91c07b1e                           stored failures with these words
  edgesweep failure learn 3f2a91c07b1e --cause unsupported_op   from now on, and for old runs
  edgesweep failure learn 3f2a91c07b1e --text "the NPU hung" --remedy "power it off and on" --transient
"""


@click.group(epilog=_EPILOG)
def failure() -> None:
    """List the causes of failures, and teach new ones."""


@failure.command("list")
@click.option(
    "-o", "output", type=click.Choice(["table", "json", "md"]), default="table", show_default=True, help="Form."
)
@pass_settings
def list_causes(settings: Settings, *, output: str) -> None:
    """List every cause that a cell can end with, your own last: where it occurs, what it means, what to do."""
    from edgesweep.failures.listing import all_causes
    from edgesweep.failures.rules_file import read_rules
    from edgesweep.home import find_home
    from edgesweep.report.causes import causes_markdown, causes_table

    causes = all_causes(read_rules(find_home().rules))
    if output == "json":
        print_json({"schema_version": 1, "causes": [cause.as_json() for cause in causes]})
    elif output == "md":
        click.echo(causes_markdown(causes))
    else:
        settings.console().print(causes_table(causes))


@failure.command("show")
@click.argument("name", metavar="CODE|HASH")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form.")
@pass_settings
def show(settings: Settings, *, name: str, output: str) -> None:
    """Show a cause, or the stored failures whose words have this HASH (8 or more of its characters are enough)."""
    from edgesweep.errors import EdgesweepError
    from edgesweep.failures.listing import all_causes
    from edgesweep.failures.rules_file import read_rules
    from edgesweep.home import find_home
    from edgesweep.report.causes import cause_text, message_text

    rules = read_rules(find_home().rules)
    cause = next((cause for cause in all_causes(rules) if cause.code == name), None)
    if cause is not None:
        if output == "json":
            print_json({"schema_version": 1, "cause": cause.as_json()})
        else:
            settings.console().print(cause_text(cause))
        return
    if not _is_hash(name):
        from edgesweep.did_you_mean import nearest

        near = nearest(name, [cause.code for cause in all_causes(rules)])
        words = f", did you mean {near!r}?" if near else ""
        raise EdgesweepError("unknown_failure", f"there is no cause and no stored failure {name!r}{words}")
    found = _stored(name)
    rule = next((rule for rule in rules.rules if rule.hash and found.hash.startswith(rule.hash)), None)
    if output == "json":
        told = {key: getattr(found, key) for key in ("hash", "normalised", "cause", "stage", "message", "evidence")}
        print_json({"schema_version": 1, **told, "cells": found.cells, "runs": found.runs, "rule": rule and rule.cause})
    else:
        settings.console().print(message_text(found, rule))


@failure.command("learn")
@click.argument("hash_", metavar="HASH")
@click.option("--cause", metavar="CODE", help="A code of `failure list`, or an own one: local:NAME.")
@click.option("--text", metavar="SENTENCE", help="What an own cause means.")
@click.option("--remedy", metavar="SENTENCE", help="What to do about an own cause.")
@click.option("--stable/--transient", default=None, help="A finding about the model, or trouble of the lab.")
@click.option("--note", metavar="TEXT", help="For whoever reads the rules file.")
@click.option("--link", metavar="URL", help="A page that tells more.")
@pass_settings
def learn(
    settings: Settings,
    *,
    hash_: str,
    cause: str | None,
    text: str | None,
    remedy: str | None,
    stable: bool | None,
    note: str | None,
    link: str | None,
) -> None:
    """Tell what failures are whose words have this HASH, from now on and in reports of old runs.

    The hash stands in reports at a cause `unknown`; 8 or more of its characters are enough where the failure is stored, all 64
    where it is not (`edgesweep measure` stores nothing). Without --cause, --text and --remedy make a cause of your own. The
    rule goes to rules.yaml in the configuration folder.
    """
    from edgesweep.errors import EdgesweepError
    from edgesweep.failures.rules import LOCAL, SHORT_HASH
    from edgesweep.failures.rules_file import add_rule, rule_of
    from edgesweep.home import find_home

    if not _is_hash(hash_):
        raise EdgesweepError("usage", f"{hash_!r} is no message hash: 8 to 64 of the digits 0 to 9 and a to f")
    if cause is None and text is None:
        raise click.UsageError("say what it is: --cause CODE, or --text and --remedy")
    home = find_home()
    # Checked before the store is asked: a wrong option is told whatever the store holds.
    given = {"text": text, "remedy": remedy, "stable": stable, "note": note, "link": link}
    cause = cause or f"{LOCAL}{hash_[:SHORT_HASH]}"
    rule_of(hash=hash_, cause=cause, **given)
    # What `measure` prints is stored nowhere, and has no doubt about it when it is whole.
    found = _find(hash_) if len(hash_) == _WHOLE else _stored(hash_)
    whole = found.hash if found else hash_
    replaced = add_rule(home.rules, rule_of(hash=whole, cause=cause, **given))
    if not settings.quiet:
        verb = "changed" if replaced else "learnt"
        click.echo(f"{verb}: {whole[:SHORT_HASH]} is {cause}, in {home.rules}", err=True)
    if found and not settings.quiet:
        runs = "1 stored run" if len(found.runs) == 1 else f"{len(found.runs)} stored runs"
        click.echo(f"next: edgesweep report {found.runs[0]}   ({runs} told anew)", err=True)


def _is_hash(text: str) -> bool:
    from edgesweep.failures.rules import LEAST_HASH

    return LEAST_HASH <= len(text) <= _WHOLE and set(text) <= set("0123456789abcdef")


def _stored(prefix: str) -> StoredMessage:
    """The stored failures with that hash.

    Raises:
        EdgesweepError: unknown_failure, or usage when several hashes begin so.
    """
    from edgesweep.errors import EdgesweepError

    found = _find(prefix)
    if found is None:
        raise EdgesweepError("unknown_failure", f"no stored run has a failure whose words have the hash {prefix}")
    return found


def _find(prefix: str) -> StoredMessage | None:
    """The stored failures with that hash, if there are any.

    Raises:
        EdgesweepError: usage when several hashes begin so.
    """
    from edgesweep.cli.sweeping import open_store
    from edgesweep.errors import EdgesweepError
    from edgesweep.failures.rules import SHORT_HASH
    from edgesweep.home import find_home

    with contextlib.closing(open_store(find_home())) as store:
        found = store.find_messages(prefix)
    if len(found) > 1:
        names = ", ".join(message.hash[: SHORT_HASH + 4] for message in found[:4])
        raise EdgesweepError("usage", f"{len(found)} hashes begin with {prefix}: {names}", remedy="give more of it")
    return found[0] if found else None
