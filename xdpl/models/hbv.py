"""HBV: a conceptual rainfall-runoff model with snow, for streamflow."""

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
from ._fluxes import (
    degree_day_snow,
    limited_uptake,
    rain_and_snow,
    step_fraction,
    trailing_mean,
)
from ._routing import convolve, gamma_weights

__all__ = ["HBV"]

_COVER = 10.0  # mm of snow water that cover half of the ground
_MEMORY = 30.0  # days whose mean temperature is the usual one


@dataclass(frozen=True)
class HBV(StepModel):
    """Snow, soil and two groundwater zones, routed by a gamma unit hydrograph.

    Parameters
    ----------
    capillary_rise : bool
        Let water rise from the lower zone into a dry soil, which takes one parameter more.

    Notes
    -----
    Snow by degree days with a linear transition from snow to rain, recharge by a power of the
    relative soil moisture, evapotranspiration reduced below a threshold of it, an upper zone
    with two outlets and percolation into a linear lower zone. As in HBV-96, potential
    evaporation is corrected by a factor, since its estimates differ by as much between methods,
    and rises on days warmer than usual, for it is often given as a climatology:

        E = E_p C min(max(1 + C_ET (T - T_m), 0), 2).

    T_m is the long-term mean of the day there and the mean of the last month here, which needs
    no record of many years. Snowfall and melt have thresholds of their own.
    Snow-covered ground, a share S / (S + 10 mm) of the cell, does not evaporate. A day's share of
    a recession compounds over shorter steps. Capillary rise comes from the lower zone, in
    proportion to the dryness of the soil.

    References
    ----------
    Bergstrom 1992, The HBV model: its structure and applications, SMHI RH 4.
    Lindstrom et al. 1997, doi:10.1016/S0022-1694(97)00041-3 (HBV-96; capillary rise).
    Seibert and Vis 2012, doi:10.5194/hess-16-3315-2012 (equations in today's notation).
    Douville et al. 1995, doi:10.1007/BF00208760 (snow cover from snow water).
    """

    capillary_rise: bool = True

    parallel_sets: ClassVar[int] = 8
    timesteps: ClassVar[tuple[float, float]] = (1 / 24, 1.0)
    water_balance: ClassVar[dict[str, tuple[str, ...]]] = {
        "inflow": ("precipitation",),
        "outflow": ("streamflow", "evapotranspiration"),
        "storage": ("snowpack", "snow_liquid", "soil", "upper_zone", "lower_zone"),
    }

    precipitation = declared.PRECIPITATION
    temperature = declared.TEMPERATURE
    potential_evaporation = declared.POTENTIAL_EVAPORATION

    threshold_temperature = Parameter(
        "degC", bounds=(-2.5, 2.5), long_name="temperature at which rain and snow are as much"
    )
    snowfall_interval = Parameter(
        "K", bounds=(0.5, 10.0), scale="log", long_name="width of the transition from rain to snow"
    )
    melt_temperature = Parameter(
        "degC", bounds=(-2.5, 3.5), long_name="temperature above which snow melts"
    )
    melt_factor = Parameter(
        "mm K-1 day-1", bounds=(0.5, 10.0), long_name="snow melt per degree and day"
    )
    refreezing_factor = Parameter(
        "1", bounds=(0.0, 0.1), long_name="refreezing relative to the melt factor"
    )
    water_holding_capacity = Parameter(
        "1", bounds=(0.0, 0.2), long_name="liquid water that snow holds, relative to its ice"
    )
    field_capacity = Parameter(
        "mm", bounds=(50.0, 1000.0), scale="log", long_name="largest soil moisture storage"
    )
    recharge_exponent = Parameter(
        "1", bounds=(1.0, 6.0), long_name="exponent of recharge on relative soil moisture"
    )
    evaporation_threshold = Parameter(
        "1",
        bounds=(0.2, 1.0),
        long_name="relative soil moisture above which evapotranspiration is potential",
    )
    evaporation_correction = Parameter(
        "1", bounds=(0.5, 1.6), long_name="evaporation of moist soil relative to potential"
    )
    evaporation_sensitivity = Parameter(
        "K-1",
        bounds=(0.0, 0.15),
        long_name="rise of potential evaporation per degree above the last month",
    )
    fast_recession = Parameter(
        "day-1", bounds=(0.05, 0.9), long_name="recession of the upper zone above its threshold"
    )
    intermediate_recession = Parameter(
        "day-1", bounds=(0.01, 0.8), scale="log", long_name="recession of the upper zone"
    )
    slow_recession = Parameter(
        "day-1", bounds=(0.001, 0.2), scale="log", long_name="recession of the lower zone"
    )
    upper_zone_threshold = Parameter(
        "mm", bounds=(0.0, 100.0), long_name="storage of the upper zone above which it flows fast"
    )
    percolation = Parameter(
        "mm day-1", bounds=(0.0, 10.0), long_name="largest percolation to the lower zone"
    )
    capillary_rate = Parameter(
        "mm day-1", bounds=(0.0, 4.0), long_name="capillary rise into a dry soil"
    )
    unit_hydrograph_shape = Parameter(
        "1", bounds=(0.5, 5.0), scale="log", shared=True, long_name="shape of the unit hydrograph"
    )
    unit_hydrograph_scale = Parameter(
        "day",
        bounds=(0.1, 6.0),
        scale="log",
        shared=True,
        long_name="time scale of the unit hydrograph",
    )

    snowpack = State("mm", long_name="frozen water in the snow")
    snow_liquid = State("mm", long_name="liquid water in the snow")
    soil = State("mm", long_name="soil moisture")
    upper_zone = State("mm", initial=5.0, long_name="upper groundwater zone")
    lower_zone = State("mm", initial=10.0, long_name="lower groundwater zone")
    mean_temperature = State("degC", initial=10.0, long_name="temperature of the last month")

    streamflow = declared.STREAMFLOW
    evapotranspiration = declared.EVAPOTRANSPIRATION
    snow_water_equivalent = declared.SNOW_WATER_EQUIVALENT
    soil_moisture = Output("mm", long_name="soil moisture storage above the wilting point")
    recharge = Output("mm day-1", long_name="recharge from the soil to the groundwater zones")

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Declared parameters by name; capillary rise has one only where it is switched on."""
        declared_parameters = super().parameters
        if not self.capillary_rise:
            del declared_parameters["capillary_rate"]
        return declared_parameters

    def initial_state(self, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Half-full soil, no snow, and a little groundwater."""
        state = super().initial_state(parameter)
        capacity = parameter["field_capacity"]
        return {**state, "soil": 0.5 * (capacity[0] if capacity.dim() == 3 else capacity)}

    def step(
        self, forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Advance snow, soil and groundwater by one step."""
        snowpack, liquid, water = self._snow(forcing, state, parameter, dt)
        mean = trailing_mean(state.mean_temperature, forcing.temperature, _MEMORY, dt)
        warm = 1.0 + parameter.evaporation_sensitivity * (forcing.temperature - mean)
        potential = forcing.potential_evaporation * dt * torch.clamp(warm, 0.0, 2.0)
        # what snow covers doesn't evaporate
        demand = potential * (_COVER / (_COVER + snowpack))
        soil, recharge, evaporation = self._soil(water, demand, state.soil, parameter)
        lower_zone = state.lower_zone
        if self.capillary_rise:
            dryness = 1.0 - soil / parameter.field_capacity
            # the soil can't rise above its capacity, nor the lower zone fall below zero
            room = torch.minimum(lower_zone, parameter.field_capacity - soil)
            rise = torch.minimum(room, parameter.capillary_rate * dt * dryness)
            soil = soil + rise
            lower_zone = lower_zone - rise
        upper_zone, lower_zone, flow = self._groundwater(
            state.upper_zone + recharge, lower_zone, parameter, dt
        )
        states = {
            "snowpack": snowpack,
            "snow_liquid": liquid,
            "soil": soil,
            "upper_zone": upper_zone,
            "lower_zone": lower_zone,
            "mean_temperature": mean,
        }
        return states, {
            "streamflow": flow / dt,
            "evapotranspiration": evaporation / dt,
            "snow_water_equivalent": snowpack + liquid,
            "soil_moisture": soil,
            "recharge": recharge / dt,
        }

    def route(
        self, outputs: dict[str, Tensor], parameter: Mapping[str, Tensor], dt: float
    ) -> dict[str, Tensor]:
        """Delay streamflow by a gamma unit hydrograph."""
        if "streamflow" not in outputs:
            return outputs
        weights = gamma_weights(
            parameter["unit_hydrograph_shape"], parameter["unit_hydrograph_scale"], dt
        )
        return {**outputs, "streamflow": convolve(outputs["streamflow"], weights)}

    @staticmethod
    def _snow(
        forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Snowpack, its liquid water, and the water that reaches the soil (mm)."""
        rain, snow = rain_and_snow(
            forcing.precipitation,
            forcing.temperature,
            parameter.threshold_temperature,
            parameter.snowfall_interval,
        )
        return degree_day_snow(
            state.snowpack,
            state.snow_liquid,
            rain,
            snow,
            forcing.temperature - parameter.melt_temperature,
            parameter.melt_factor,
            parameter.refreezing_factor,
            parameter.water_holding_capacity,
            dt,
        )

    @staticmethod
    def _soil(
        water: Tensor, demand: Tensor, soil: Tensor, parameter: Namespace
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Soil moisture, recharge and evapotranspiration of the step (mm)."""
        capacity = parameter.field_capacity
        # the floor keeps the power's gradient finite in a dry soil; it moves no water
        wetness = torch.clamp(soil / capacity, 1e-5, 1.0)
        recharge = water * wetness**parameter.recharge_exponent
        filled = soil + (water - recharge)
        overflow = torch.clamp(filled - capacity, min=0.0)
        filled = filled - overflow
        evaporation = limited_uptake(
            filled,
            demand * parameter.evaporation_correction,
            parameter.evaporation_threshold * capacity,
        )
        return filled - evaporation, recharge + overflow, evaporation

    @staticmethod
    def _groundwater(
        upper_zone: Tensor, lower_zone: Tensor, parameter: Namespace, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both groundwater zones after the step, and the outflow of the step (mm)."""
        percolation = torch.minimum(upper_zone, parameter.percolation * dt)
        upper_zone = upper_zone - percolation
        above = torch.clamp(upper_zone - parameter.upper_zone_threshold, min=0.0)
        fast = step_fraction(parameter.fast_recession, dt) * above
        upper_zone = upper_zone - fast
        intermediate = step_fraction(parameter.intermediate_recession, dt) * upper_zone
        lower_zone = lower_zone + percolation
        slow = step_fraction(parameter.slow_recession, dt) * lower_zone
        return upper_zone - intermediate, lower_zone - slow, fast + intermediate + slow
