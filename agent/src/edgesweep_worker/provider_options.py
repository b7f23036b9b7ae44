"""Options of providers: refused where they name things of the device's, read back where they were passed on."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from edgesweep_worker.failure import TrialFailed
from edgesweep_worker.job import Provider
from edgesweep_worker.providers import facts_of

#: Spellings of the same thing; providers tell 1 of what was given as True, and the other way round.
_SAME = {"true": "1", "on": "1", "yes": "1", "false": "0", "off": "0", "no": "0"}


def check_local(providers: Iterable[Provider]) -> None:
    """Refuse options whose value is a file, a library or an address on the device: a peer may name none of these.

    Raises:
        TrialFailed: option_refused.
    """
    for provider in providers:
        facts = facts_of(provider.name)
        for key, value in provider.options.items():
            if facts.is_local(key, value):
                raise TrialFailed(
                    "option_refused", f"the option {key} of {provider.name} names something on the device"
                )


def read_back(session: Any) -> list[dict[str, Any]]:
    """The providers of a session with the options that it says they have, in its own order.

    Options that name files on the device are left out: nobody else can use them.
    """
    told: Mapping[str, Mapping[str, Any]] = session.get_provider_options()
    return [
        {
            "name": name,
            "options": {
                str(key): str(value)
                for key, value in told.get(name, {}).items()
                if key not in facts_of(name).local_options
            },
        }
        for name in session.get_providers()
    ]


def differing(session: Any, chain: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """A tag for each option that the session does not have as it was asked for.

    `option_not_honoured:PROVIDER.option` has another value; `option_not_reported:PROVIDER.option` has none, because the
    provider tells part of its options only or has forgotten it without a word; `options_not_reported:PROVIDER` is for
    one that tells no option at all.
    """
    told: Mapping[str, Mapping[str, Any]] = session.get_provider_options()
    tags = []
    for name, asked in chain:
        if name not in told:
            continue  # the provider itself is not there, which is told elsewhere
        if asked and not told[name]:
            tags.append(f"options_not_reported:{name}")
            continue
        for key, value in asked.items():
            if key not in told[name]:
                tags.append(f"option_not_reported:{name}.{key}")
            elif _plain(told[name][key]) != _plain(value):
                tags.append(f"option_not_honoured:{name}.{key}")
    return tags


def _plain(value: Any) -> str:
    text = str(value).strip().lower()
    try:
        return f"{float(text):.17g}"
    except ValueError:
        return f"{float(_SAME[text]):.17g}" if text in _SAME else text
