"""VIC-type soil moisture model: a thin surface layer over a root zone and a deep layer."""

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
    arno_baseflow,
    degree_day_snow,
    diffusive_exchange,
    limited_uptake,
    power_law_outflow,
    rain_and_snow,
    smooth_ramp,
    staged_evaporation,
    trailing_mean,
    variable_infiltration,
)

__all__ = ["VIC"]

_MEMORY = 30.0  # days of temperature that the canopy remembers
_SEASON = 16.0  # K between a dormant and a full canopy
_FROST = 12.0  # K of mean air temperature from unfrozen to frozen, about 0 degC: nights are colder
_REFREEZING, _HOLDING = 0.05, 0.1  # snow: usual values, soil moisture hardly depends on them


@dataclass(frozen=True)
class VIC(StepModel):
    """Soil moisture by a variable infiltration capacity curve, for satellites and stations.

    Notes
    -----
    Water that does not run off enters the surface layer and, once that is full, the root zone
    (Liang et al. 1994, eqs. 13 and 14 for both layers together). Both drain by gravity with
    Brooks-Corey conductivity, integrated exactly, so that a thin layer is stable on daily steps.
    Diffusion between them goes up and down (Liang et al. 1996) towards an equilibrium that need
    not be equal saturation: where air enters the layers at different pressures, equal matric
    potential is reached at different saturation. The deep layer feeds Arno baseflow. Depths are
    water above the residual moisture.

    Evapotranspiration is shared by the canopy, whose cover follows the temperature of the last
    month, and the bare soil between, which evaporates as demanded while it is saturated and then
    with the cube of its saturation (after Lee and Pielke 1992). There is no energy balance:
    snow melts by degree days, and part of the water in the surface layer freezes around 0 degC;
    ice neither moves nor evaporates. Fast sinks are solved exactly or implicitly: explicit daily
    steps of thin layers oscillate, and their gradients explode.

    ``surface_soil_moisture`` is liquid water as a radiometer sees it in the early morning: the
    mean of the states before the step and after its rain has drained, before the step's
    evaporation. Nothing corrects it after the model: parameters keep their meaning.

    References
    ----------
    Liang et al. 1994, doi:10.1029/94JD00483 (infiltration curve, drainage, Arno baseflow).
    Liang et al. 1996, doi:10.1016/0921-8181(95)00046-1 (thin surface layer, diffusion).
    Brooks and Corey 1964, Hydrology Paper 3, Colorado State University (conductivity).
    Lee and Pielke 1992, doi:10.1175/1520-0450(1992)031<0480:ETSSSH>2.0.CO;2 (bare soil).
    Jarvis 1976, doi:10.1098/rstb.1976.0035 (soil moisture stress of transpiration).
    """

    parallel_sets: ClassVar[int] = 4
    timesteps: ClassVar[tuple[float, float]] = (1 / 24, 1.0)
    water_balance: ClassVar[dict[str, tuple[str, ...]]] = {
        "inflow": ("precipitation",),
        "outflow": ("runoff", "evapotranspiration"),
        "storage": ("snowpack", "snow_liquid", "surface_water", "root_water", "deep_water"),
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
    canopy_cover = Parameter("1", bounds=(0.1, 1.0), long_name="canopy cover in the warm season")
    dormant_cover = Parameter(
        "1",
        bounds=(0.0, 1.0),
        long_name="canopy cover in the cold season, relative to the warm one",
    )
    canopy_temperature = Parameter(
        "degC",
        bounds=(-5.0, 25.0),
        long_name="monthly temperature at which the canopy is half grown",
    )
    vegetation_coefficient = Parameter(
        "1", bounds=(0.3, 1.5), long_name="transpiration of wet soil relative to potential"
    )
    surface_root_fraction = Parameter(
        "1", bounds=(0.0, 0.6), long_name="share of transpiration that the surface layer gives"
    )
    critical_saturation = Parameter(
        "1", bounds=(0.15, 1.0), long_name="saturation below which transpiration is limited"
    )
    wilting_fraction = Parameter(
        "1", bounds=(0.05, 0.9), long_name="wilting point relative to the critical saturation"
    )
    soil_evaporation_coefficient = Parameter(
        "1", bounds=(0.2, 1.5), long_name="evaporation of wet bare soil relative to potential"
    )
    infiltration_shape = Parameter(
        "1", bounds=(0.01, 3.0), scale="log", long_name="shape of the infiltration capacity curve"
    )
    porosity = Parameter(
        "1",
        bounds=(0.3, 0.75),
        standard_name="soil_porosity",
        long_name="porosity of the surface layer",
    )
    residual_moisture = Parameter(
        "m3 m-3",
        bounds=(0.005, 0.1),
        scale="log",
        long_name="moisture that never leaves the surface layer",
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
        "mm day-1",
        bounds=(2.0, 5000.0),
        scale="log",
        standard_name="soil_hydraulic_conductivity_at_saturation",
        long_name="saturated hydraulic conductivity",
    )
    conductivity_exponent = Parameter(
        "1",
        bounds=(3.5, 30.0),
        scale="log",
        long_name="exponent of conductivity on saturation (Brooks-Corey, 3 + 2/lambda)",
    )
    diffusion = Parameter(
        "mm day-1",
        bounds=(0.1, 100.0),
        scale="log",
        long_name="exchange of the upper layers per difference of saturation",
    )
    surface_equilibrium = Parameter(
        "1",
        bounds=(0.25, 2.5),
        scale="log",
        long_name="saturation of the surface layer at rest, relative to the root zone",
    )
    frozen_share = Parameter(
        "1", bounds=(0.0, 0.9), long_name="share of the surface layer's water that frost freezes"
    )
    maximum_baseflow = Parameter(
        "mm day-1", bounds=(0.1, 30.0), scale="log", long_name="baseflow of a full deep layer"
    )
    linear_baseflow = Parameter(
        "1",
        bounds=(0.001, 0.5),
        scale="log",
        long_name="share of the largest baseflow that is reached linearly",
    )
    baseflow_threshold = Parameter(
        "1", bounds=(0.5, 0.99), long_name="saturation above which baseflow rises nonlinearly"
    )

    snowpack = State("mm", long_name="frozen water in the snow")
    snow_liquid = State("mm", long_name="liquid water in the snow")
    surface_water = State("mm", long_name="water of the surface layer above residual moisture")
    root_water = State("mm", long_name="water of the root zone above residual moisture")
    deep_water = State("mm", long_name="water of the deep layer above residual moisture")
    mean_temperature = State("degC", initial=10.0, long_name="temperature of the last month")

    surface_soil_moisture = Output(
        "m3 m-3",
        standard_name="volume_fraction_of_condensed_water_in_soil",
        long_name="volumetric soil moisture of the surface layer",
        names=("SMAP", "smap", "soil_moisture", "sm", "SM", "ssm", "SSM", "swvl1"),
    )
    evapotranspiration = declared.EVAPOTRANSPIRATION
    runoff = Output(
        "mm day-1",
        long_name="surface runoff and baseflow",
        names=declared.STREAMFLOW.names,
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
        self, forcing: Namespace, state: Namespace, parameter: Namespace, dt: float
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Advance snow and soil by one step."""
        p = parameter
        capacity = (p.porosity - p.residual_moisture) * p.surface_depth
        liquid = 1.0 - p.frozen_share * smooth_ramp(-forcing.temperature / _FROST)
        mean = trailing_mean(state.mean_temperature, forcing.temperature, _MEMORY, dt)

        snowpack, snow_liquid, water = self._snow(forcing, state, p, dt)
        surface, root, surface_runoff = self._infiltrate(water, capacity, state, p)
        surface, root, deep = self._drain(surface, root, state.deep_water, capacity, liquid, p, dt)
        morning = 0.5 * (state.surface_water + surface)
        surface, root, evaporation = self._evaporate(
            surface, root, forcing.potential_evaporation * dt * liquid, mean, capacity, p
        )
        up = diffusive_exchange(
            surface, root, capacity, p.root_capacity, p.diffusion * dt, p.surface_equilibrium
        )
        baseflow = arno_baseflow(
            deep,
            p.deep_capacity,
            p.maximum_baseflow,
            p.linear_baseflow,
            p.baseflow_threshold,
            dt,
        )
        states = {
            "snowpack": snowpack,
            "snow_liquid": snow_liquid,
            "surface_water": surface + up,
            "root_water": root - up,
            "deep_water": deep - baseflow,
            "mean_temperature": mean,
        }
        return states, {
            "surface_soil_moisture": p.residual_moisture + morning * liquid / p.surface_depth,
            "evapotranspiration": evaporation / dt,
            "runoff": (surface_runoff + baseflow) / dt,
            "snow_water_equivalent": snowpack + snow_liquid,
            "root_zone_saturation": (root - up) / p.root_capacity,
        }

    @staticmethod
    def _snow(
        forcing: Namespace, state: Namespace, p: Namespace, dt: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Snowpack, its liquid water, and the water that reaches the soil (mm)."""
        threshold = p.threshold_temperature
        rain, snow = rain_and_snow(forcing.precipitation, forcing.temperature, threshold)
        return degree_day_snow(
            state.snowpack,
            state.snow_liquid,
            rain,
            snow,
            forcing.temperature - threshold,
            p.melt_factor,
            _REFREEZING,
            _HOLDING,
            dt,
        )

    @staticmethod
    def _infiltrate(
        water: Tensor, capacity: Tensor, state: Namespace, p: Namespace
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Water of the surface layer and the root zone, and surface runoff (mm)."""
        taken = variable_infiltration(
            water,
            state.surface_water + state.root_water,
            capacity + p.root_capacity,
            p.infiltration_shape,
        )
        surface = torch.minimum(state.surface_water + taken, capacity)
        root = state.root_water + (taken - (surface - state.surface_water))
        # the curve's floor may let in a little more than there is room for
        overflow = torch.clamp(root - p.root_capacity, min=0.0)
        return surface, root - overflow, (water - taken) + overflow

    @staticmethod
    def _drain(
        surface: Tensor,
        root: Tensor,
        deep: Tensor,
        capacity: Tensor,
        liquid: Tensor,
        p: Namespace,
        dt: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let gravity move water down, as far as there is room below."""
        rate, exponent = p.saturated_conductivity, p.conductivity_exponent
        down = power_law_outflow(surface, capacity, rate * liquid, exponent, dt)
        down = torch.minimum(down, p.root_capacity - root)
        surface, root = surface - down, root + down
        down = power_law_outflow(root, p.root_capacity, rate, exponent, dt)
        down = torch.minimum(down, p.deep_capacity - deep)
        return surface, root - down, deep + down

    @staticmethod
    def _evaporate(
        surface: Tensor, root: Tensor, demand: Tensor, mean: Tensor, capacity: Tensor, p: Namespace
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Water of the surface layer and the root zone, and evapotranspiration (mm)."""
        grown = smooth_ramp((mean - p.canopy_temperature) / _SEASON)
        canopy = p.canopy_cover * (p.dormant_cover + (1.0 - p.dormant_cover) * grown)
        wilting = p.critical_saturation * p.wilting_fraction
        span = p.critical_saturation - wilting
        transpired = demand * canopy * p.vegetation_coefficient
        near = p.surface_root_fraction * transpired
        from_surface = limited_uptake(surface - wilting * capacity, near, span * capacity)
        from_root = limited_uptake(
            root - wilting * p.root_capacity, transpired - near, span * p.root_capacity
        )
        surface = surface - from_surface
        bare = staged_evaporation(
            surface, capacity, demand * (1.0 - canopy) * p.soil_evaporation_coefficient
        )
        return surface - bare, root - from_root, from_surface + from_root + bare
