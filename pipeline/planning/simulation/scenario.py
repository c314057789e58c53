"""Defines what goes wrong in a simulated run, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rates are of one machine and hour; shares are of images.

    `spread`: sigma of the lognormal time that the models take for an image, whose mean stays; 0:
    all take as long. `rejected` images cannot be decoded, `killing` ones end every worker that they
    are given to. `crashes` of a worker that nobody is to blame for; `losses` of a machine, replaced
    after `replaced_s`. `reclaims`: of a spot machine, of which there is another after
    `reclaimed_s`; `price` is the share of the usual price that is paid. `gets_per_s`: what the
    store answers of all requests, None: all; `points_per_s`: what the index takes of all jobs.
    """

    name: str
    spread: float = 0.0
    rejected: float = 0.0
    killing: float = 0.0
    crashes: float = 0.0
    losses: float = 0.0
    replaced_s: float = 600.0
    reclaims: float = 0.0
    reclaimed_s: float = 300.0
    price: float = 1.0
    gets_per_s: float | None = None
    points_per_s: float | None = None
    source: str = ""
