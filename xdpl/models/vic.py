"""VIC-type soil moisture model: a thin surface layer over a root zone and a deep layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..process import StepModel
from ..variables import Output, Parameter, State
from . import _declarations as declared
from ._fluxes import degree_day_snow, power_law_outflow, rain_and_snow

__all__ = ["VIC"]


@dataclass(frozen=True)
class VIC(StepModel):
    """Soil moisture by a variable infiltration capacity curve, for satellites and stations.

    References
    ----------
    Liang et al. 1994, doi:10.1029/94JD00483 (infiltration curve, evaporation, Arno baseflow).
    Liang et al. 1996, doi:10.1016/0921-8181(95)00046-1 (thin surface layer, diffusion).
    """

    timesteps: ClassVar[tuple[float, float]] = (1 / 24, 1.0)
    water_balance: ClassVar[dict[str, tuple[str, ...]]] = {
        "inflow": ("precipitation",),
        "outflow": ("runoff", "evapotranspiration"),
        "storage": (
            "snowpack",
            "snow_liquid",
            "canopy_water",
            "surface_water",
            "root_water",
            "deep_water",
        ),
    }

    precipitation = declared.PRECIPITATION
    temperature = declared.TEMPERATURE
    potential_evaporation = declared.POTENTIAL_EVAPORATION

    threshold_temperature = Parameter(
        "degC", bounds=(-2.5, 2.5), long_name="temperature of snowfall and melt"
    )
    melt_factor = Parameter(
        "mm K-1 day-1", bounds=(0.5, 10.0), long_name="snow melt per degree and day"
    )
    interception_capacity = Parameter(
        "mm", bounds=(0.0, 4.0), long_name="water that a full canopy holds"
    )
    canopy_minimum = Parameter("1", bounds=(0.0, 0.6), long_name="canopy cover in the cold season")
    canopy_maximum = Parameter("1", bounds=(0.1, 1.0), long_name="canopy cover in the warm season")
    canopy_temperature = Parameter(
        "degC", bounds=(0.0, 25.0), long_name="temperature at which the canopy is half grown"
    )
    vegetation_coefficient = Parameter(
        "1", bounds=(0.4, 1.6), long_name="transpiration relative to potential evaporation"
    )
    surface_root_fraction = Parameter(
        "1", bounds=(0.0, 0.6), long_name="share of the roots in the surface layer"
    )
    critical_saturation = Parameter(
        "1", bounds=(0.2, 1.0), long_name="saturation below which transpiration is limited"
    )
    wilting_fraction = Parameter(
        "1", bounds=(0.0, 0.9), long_name="wilting point relative to the critical saturation"
    )
    soil_evaporation_rate = Parameter(
        "1", bounds=(0.1, 2.0), long_name="evaporation of saturated bare soil relative to potential"
    )
    soil_evaporation_exponent = Parameter(
        "1", bounds=(1.1, 6.0), scale="log", long_name="exponent of bare-soil evaporation"
    )
    infiltration_shape = Parameter(
        "1", bounds=(0.01, 3.0), scale="log", long_name="shape of the infiltration capacity curve"
    )
    porosity = Parameter("m3 m-3", bounds=(0.3, 0.75), long_name="porosity of the surface layer")
    residual_moisture = Parameter(
        "m3 m-3",
        bounds=(0.005, 0.2),
        scale="log",
        long_name="residual moisture of the surface layer",
    )
    surface_depth = Parameter(
        "mm", bounds=(30.0, 200.0), scale="log", long_name="thickness of the surface layer"
    )
    root_capacity = Parameter(
        "mm", bounds=(30.0, 600.0), scale="log", long_name="water capacity of the root zone"
    )
    deep_capacity = Parameter(
        "mm", bounds=(50.0, 1500.0), scale="log", long_name="water capacity of the deep layer"
    )
    saturated_conductivity = Parameter(
        "mm day-1", bounds=(5.0, 10000.0), scale="log", long_name="saturated hydraulic conductivity"
    )
    drainage_exponent = Parameter(
        "1", bounds=(3.5, 30.0), scale="log", long_name="exponent of hydraulic conductivity"
    )
    capillary_exchange = Parameter(
        "mm day-1", bounds=(0.01, 30.0), scale="log", long_name="diffusion between upper layers"
    )
    maximum_baseflow = Parameter(
        "mm day-1", bounds=(0.1, 30.0), scale="log", long_name="largest baseflow"
    )
    linear_baseflow = Parameter(
        "1",
        bounds=(0.001, 0.5),
        scale="log",
        long_name="share of the largest baseflow that is linear",
    )
    baseflow_threshold = Parameter(
        "1", bounds=(0.3, 0.99), long_name="saturation above which baseflow rises nonlinearly"
    )

    snowpack = State("mm", long_name="frozen water in the snow")
    snow_liquid = State("mm", long_name="liquid water in the snow")
    canopy_water = State("mm", long_name="water on the canopy")
    surface_water = State("mm", long_name="water of the surface layer above residual moisture")
    root_water = State("mm", long_name="water of the root zone above residual moisture")
    deep_water = State("mm", long_name="water of the deep layer above residual moisture")
    mean_temperature = State("degC", initial=10.0, long_name="running mean of the temperature")

    surface_soil_moisture = Output(
        "m3 m-3",
        standard_name="volume_fraction_of_condensed_water_in_soil",
        long_name="volumetric soil moisture of the surface layer",
        names=("surface_soil_moisture", "SMAP", "smap", "soil_moisture", "sm", "ssm", "SSM", "SM"),
    )
    evapotranspiration = declared.EVAPOTRANSPIRATION
    runoff = Output(
        "mm day-1",
        long_name="surface runoff and baseflow",
        names=("runoff", "streamflow", "qobs", "discharge", "q", "Q", "mrro", "ro"),
    )
    snow_water_equivalent = declared.SNOW_WATER_EQUIVALENT
    root_zone_saturation = Output("1", long_name="relative saturation of the root zone")

    def initial_state(self, parameter: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Half-full soil, no snow."""
        state = super().initial_state(parameter)
        now = {k: v[0] if v.dim() == 3 else v for k, v in self._looped(parameter).items()}
        surface = (now["porosity"] - now["residual_moisture"]) * now["surface_depth"]
        return {
            **state,
            "surface_water": 0.5 * surface,
            "root_water": 0.5 * now["root_capacity"],
            "deep_water": 0.5 * now["deep_capacity"],
        }

    def step(
        self, forcing: Any, state: Any, parameter: Any, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Advance snow, canopy and soil by one step."""
        p = parameter
        demand = forcing.potential_evaporation * dt
        surface_capacity = (p.porosity - p.residual_moisture) * p.surface_depth

        # vegetation follows the temperature of the last weeks
        memory = dt / 30.0
        mean_temperature = state.mean_temperature + memory * (
            forcing.temperature - state.mean_temperature
        )
        grown = torch.clamp((mean_temperature - p.canopy_temperature) / 16.0 + 0.5, 0.0, 1.0)
        canopy = (
            p.canopy_minimum + torch.clamp(p.canopy_maximum - p.canopy_minimum, min=0.0) * grown
        )

        # snow and interception
        rain, snow = rain_and_snow(
            forcing.precipitation, forcing.temperature, p.threshold_temperature
        )
        snowpack, liquid, water = degree_day_snow(
            state.snowpack,
            state.snow_liquid,
            rain,
            snow,
            forcing.temperature - p.threshold_temperature,
            p.melt_factor,
            0.05,
            0.1,
            dt,
        )
        holds = p.interception_capacity * canopy
        wet = state.canopy_water + water
        throughfall = torch.clamp(wet - holds, min=0.0)
        wet = wet - throughfall
        intercepted = torch.minimum(wet, demand * canopy)
        canopy_water = wet - intercepted

        # infiltration
        upper = surface_capacity + p.root_capacity
        infiltrated = _infiltration(
            throughfall, state.surface_water + state.root_water, upper, p.infiltration_shape
        )
        filled = state.surface_water + infiltrated
        passed = torch.clamp(filled - surface_capacity, min=0.0)
        surface = filled - passed
        root = state.root_water + passed
        overflow = torch.clamp(root - p.root_capacity, min=0.0)
        root = root - overflow
        surface_runoff = throughfall - infiltrated + overflow

        # drainage
        down = power_law_outflow(
            surface, surface_capacity, p.saturated_conductivity, p.drainage_exponent, dt
        )
        down = torch.minimum(down, p.root_capacity - root)
        surface = surface - down
        root = root + down
        down = power_law_outflow(
            root, p.root_capacity, p.saturated_conductivity, p.drainage_exponent, dt
        )
        down = torch.minimum(down, p.deep_capacity - state.deep_water)
        root = root - down
        deep = state.deep_water + down

        # evapotranspiration
        left = demand * canopy - intercepted
        wilting = p.wilting_fraction * p.critical_saturation
        span = p.critical_saturation - wilting
        stress_root = torch.clamp((root / p.root_capacity - wilting) / span, 0.0, 1.0)
        stress_surface = torch.clamp((surface / surface_capacity - wilting) / span, 0.0, 1.0)
        left = left * p.vegetation_coefficient
        from_surface = torch.minimum(left * p.surface_root_fraction * stress_surface, surface)
        from_root = torch.minimum(left * (1.0 - p.surface_root_fraction) * stress_root, root)
        surface = surface - from_surface
        root = root - from_root
        bare = power_law_outflow(
            surface,
            surface_capacity,
            forcing.potential_evaporation * (1.0 - canopy) * p.soil_evaporation_rate,
            p.soil_evaporation_exponent,
            dt,
        )
        surface = surface - bare

        # diffusion between surface and root zone
        k = p.capillary_exchange * dt
        gain = k * (root / p.root_capacity - surface / surface_capacity)
        gain = gain / (1.0 + k * (1.0 / p.root_capacity + 1.0 / surface_capacity))
        surface = surface + gain
        root = root - gain

        # baseflow
        saturation = deep / p.deep_capacity
        excess = torch.clamp(saturation - p.baseflow_threshold, min=0.0) / (
            1.0 - p.baseflow_threshold
        )
        linear = p.linear_baseflow / p.baseflow_threshold
        baseflow = (p.maximum_baseflow * dt) * (
            linear * saturation + torch.clamp(1.0 - linear, min=0.0) * excess * excess
        )
        baseflow = torch.minimum(baseflow, deep)
        deep = deep - baseflow

        states = {
            "snowpack": snowpack,
            "snow_liquid": liquid,
            "canopy_water": canopy_water,
            "surface_water": surface,
            "root_water": root,
            "deep_water": deep,
            "mean_temperature": mean_temperature,
        }
        evaporation = intercepted + from_surface + from_root + bare
        return states, {
            "surface_soil_moisture": p.residual_moisture
            + 0.5 * (surface + state.surface_water) / p.surface_depth,
            "evapotranspiration": evaporation / dt,
            "runoff": (surface_runoff + baseflow) / dt,
            "snow_water_equivalent": snowpack + liquid,
            "root_zone_saturation": root / p.root_capacity,
        }


def _infiltration(water: Tensor, stored: Tensor, capacity: Tensor, shape: Tensor) -> Tensor:
    """Water that infiltrates (mm) by the variable infiltration capacity curve."""
    # the deficit's floor bounds the gradient of its power, which is infinite in a full soil
    deficit = torch.clamp(1.0 - stored / capacity, min=1e-5)
    more = 1.0 + shape
    left = torch.clamp(deficit ** (1.0 / more) - water / (more * capacity), min=1e-6)
    taken = capacity * (deficit - left**more)
    return torch.clamp(torch.minimum(taken, water), min=0.0)
