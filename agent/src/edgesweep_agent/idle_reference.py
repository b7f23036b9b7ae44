"""How warm each sensor of this board is when the board idles, learned over the last 20 days on which it was looked at."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edgesweep_agent.durable import read_json, write_json

#: Days that count, and readings of one day that are kept of each sensor.
DAYS = 20
READINGS_A_DAY = 200

#: The coolest tenth: an idle board is often looked at just after a trial, while it is still warm from that.
_PERCENTILE = 0.1

_log = logging.getLogger(__name__)


class IdleReference:
    """Remembers idle readings in one small file, by day and sensor."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._days: dict[str, dict[str, list[float]]] | None = None

    def of(self, sensor: str) -> float | None:
        """The sensor's idle temperature in degrees Celsius; None before anything was learned."""
        readings = sorted(value for day in self._known().values() for value in day.get(sensor, ()))
        return readings[int(_PERCENTILE * (len(readings) - 1))] if readings else None

    def learn(self, temperatures: Mapping[str, float]) -> None:
        """Take in one look at the idle board."""
        if not temperatures:
            return
        days = self._known()
        today = days.setdefault(time.strftime("%Y-%m-%d", time.gmtime(self._now())), {})
        for sensor, value in temperatures.items():
            readings = today.setdefault(sensor, [])
            readings.append(round(value, 3))
            del readings[:-READINGS_A_DAY]
        for day in sorted(days)[:-DAYS]:
            del days[day]
        try:
            write_json(self._path, {"days": days}, flush=False)
        except OSError as error:
            _log.warning("idle temperatures are not remembered over a restart: %s", error)

    def _known(self) -> dict[str, dict[str, list[float]]]:
        if self._days is None:
            self._days = self._load()
        return self._days

    def _load(self) -> dict[str, dict[str, list[float]]]:
        try:
            return {
                str(day): {str(sensor): [float(value) for value in readings] for sensor, readings in sensors.items()}
                for day, sensors in read_json(self._path)["days"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("%s is not readable (%s): idle temperatures are learned anew", self._path, error)
            return {}
