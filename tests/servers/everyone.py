"""Every hosted provider's stand-in, by the provider's name; a line each."""

from collections.abc import Mapping

from tests.servers.luma import LumaStandIn
from tests.servers.segmind import SegmindStandIn
from tests.servers.standin import StandIn

STAND_INS: Mapping[str, type[StandIn]] = {
    "segmind": SegmindStandIn,
    "luma": LumaStandIn,
}
