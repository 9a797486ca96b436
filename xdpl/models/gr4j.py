"""GR4J: a daily rainfall-runoff model with four parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..engine import Namespace
from ..process import StepModel
from ..variables import Output, Parameter, State
from . import _declarations as declared
from ._routing import gr4j_ordinates

__all__ = ["GR4J"]

_LENGTH = 10  # days of the first unit hydrograph: the upper bound of its parameter
_PERCOLATION = (4.0 / 9.0) ** 4


@dataclass(frozen=True)
class GR4J(StepModel):
    """A production store, two unit hydrographs and a routing store that exchanges groundwater.

    Notes
    -----
    The parameters x1 to x4 of the paper are production_store_capacity, exchange_coefficient,
    routing_store_capacity and unit_hydrograph_time. The store functions are integrals over one
    day, so the model runs on daily steps only. It has no snow. The exchange with groundwater
    outside of the basin is an output, so that the water balance closes.

    References
    ----------
    Perrin et al. 2003, doi:10.1016/S0022-1694(03)00225-7.
    """

    parallel_sets: ClassVar[int] = 8
    timesteps: ClassVar[tuple[float, float]] = (1.0, 1.0)
    water_balance: ClassVar[dict[str, tuple[str, ...]]] = {
        "inflow": ("precipitation", "groundwater_exchange"),
        "outflow": ("streamflow", "evapotranspiration"),
        "storage": ("production_store", "routing_store", "routed_flow", "direct_flow"),
    }

    precipitation = declared.PRECIPITATION
    potential_evaporation = declared.POTENTIAL_EVAPORATION

    production_store_capacity = Parameter(
        "mm", bounds=(20.0, 3000.0), scale="log", long_name="capacity of the production store (x1)"
    )
    exchange_coefficient = Parameter(
        "mm day-1", bounds=(-10.0, 10.0), long_name="groundwater exchange coefficient (x2)"
    )
    routing_store_capacity = Parameter(
        "mm", bounds=(5.0, 500.0), scale="log", long_name="capacity of the routing store (x3)"
    )
    unit_hydrograph_time = Parameter(
        "day",
        bounds=(0.5, float(_LENGTH)),
        scale="log",
        long_name="time base of the first unit hydrograph (x4)",
    )

    production_store = State("mm", long_name="production store")
    routing_store = State("mm", long_name="routing store")
    routed_flow = State("mm", size=_LENGTH, long_name="water on its way to the routing store")
    direct_flow = State("mm", size=2 * _LENGTH, long_name="water on its way past the routing store")

    streamflow = declared.STREAMFLOW
    evapotranspiration = declared.EVAPOTRANSPIRATION
    groundwater_exchange = Output(
        "mm day-1", long_name="groundwater gained from outside (negative: lost)"
    )

    def initial_state(self, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Stores filled as the authors suggest: 60 % and 70 %."""
        state = super().initial_state(parameter)
        x1, x3 = parameter["production_store_capacity"], parameter["routing_store_capacity"]
        return {
            **state,
            "production_store": 0.6 * (x1[0] if x1.dim() == 3 else x1),
            "routing_store": 0.7 * (x3[0] if x3.dim() == 3 else x3),
        }

    def step(
        self, forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Advance the stores by one day; eq. numbers are those of the paper."""
        production_store, effective, evaporation = self._production(
            forcing.precipitation,
            forcing.potential_evaporation,
            state.production_store,
            parameter.production_store_capacity,
        )
        short, long = gr4j_ordinates(parameter.unit_hydrograph_time, _LENGTH)
        routed_flow = state.routed_flow + short * (0.9 * effective).unsqueeze(-1)
        direct_flow = state.direct_flow + long * (0.1 * effective).unsqueeze(-1)
        arrived, direct = routed_flow[..., 0], direct_flow[..., 0]

        capacity = parameter.routing_store_capacity
        relative = torch.clamp(state.routing_store / capacity, min=1e-6)
        exchange = parameter.exchange_coefficient * relative**3.5  # eq. 18
        filled = torch.clamp(state.routing_store + arrived + exchange, min=0.0)  # eq. 19
        outflow = _release(filled, (filled / capacity) ** 4)  # eq. 20
        overland = torch.clamp(direct + exchange, min=0.0)  # eq. 22
        gained = (filled - (state.routing_store + arrived)) + (overland - direct)

        nothing = torch.zeros_like(arrived).unsqueeze(-1)
        states = {
            "production_store": production_store,
            "routing_store": filled - outflow,
            "routed_flow": torch.cat([routed_flow[..., 1:], nothing], dim=-1),
            "direct_flow": torch.cat([direct_flow[..., 1:], nothing], dim=-1),
        }
        return states, {
            "streamflow": outflow + overland,
            "evapotranspiration": evaporation,
            "groundwater_exchange": gained,
        }

    @staticmethod
    def _production(
        precipitation: Tensor, demand: Tensor, store: Tensor, capacity: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Production store, effective rainfall and evapotranspiration (eqs. 1-8)."""
        net = precipitation - demand
        intercepted = torch.minimum(precipitation, demand)
        # either rain or demand is left over, never both, so one tanh serves both
        filling = store / capacity
        pull = torch.tanh(torch.clamp(torch.abs(net) / capacity, max=13.0))
        wet = capacity * (1.0 - filling * filling) * pull / (1.0 + filling * pull)  # eq. 3
        dry = store * (2.0 - filling) * pull / (1.0 + (1.0 - filling) * pull)  # eq. 4
        stored = torch.where(net > 0.0, wet, 0.0)
        evaporated = torch.where(net > 0.0, 0.0, dry)
        filled = store + stored - evaporated
        percolation = _release(filled, _PERCOLATION * (filled / capacity) ** 4)  # eq. 6
        effective = percolation + (precipitation - intercepted - stored)
        return filled - percolation, effective, intercepted + evaporated


def _release(store: Tensor, filling: Tensor) -> Tensor:
    """Outflow of a store by its fifth power over one day: store (1 - (1 + filling)**(-1/4))."""
    return store * -torch.expm1(-0.25 * torch.log1p(filling))
