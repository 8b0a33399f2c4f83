"""Every hosted provider's stand-in, by the provider's name; a line each."""

from collections.abc import Mapping

from tests.servers.luma import LumaStandIn
from tests.servers.luma_agents import LumaAgentsStandIn
from tests.servers.runway import RunwayStandIn
from tests.servers.segmind import SegmindStandIn
from tests.servers.standin import StandIn

STAND_INS: Mapping[str, type[StandIn]] = {
    "segmind": SegmindStandIn,
    "luma": LumaStandIn,
    "luma-agents": LumaAgentsStandIn,
    "runway": RunwayStandIn,
}
