"""Every hosted provider's stand-in, by the provider's name; a line each."""

from collections.abc import Mapping

from tests.servers.fal import FalStandIn
from tests.servers.kie import KieStandIn
from tests.servers.luma import LumaStandIn
from tests.servers.luma_agents import LumaAgentsStandIn
from tests.servers.replicate import ReplicateStandIn
from tests.servers.runway import RunwayStandIn
from tests.servers.segmind import SegmindStandIn
from tests.servers.standin import StandIn
from tests.servers.wavespeed import WaveSpeedStandIn

STAND_INS: Mapping[str, type[StandIn]] = {
    "segmind": SegmindStandIn,
    "luma": LumaStandIn,
    "luma-agents": LumaAgentsStandIn,
    "replicate": ReplicateStandIn,
    "fal": FalStandIn,
    "wavespeed": WaveSpeedStandIn,
    "kie": KieStandIn,
    "runway": RunwayStandIn,
}
