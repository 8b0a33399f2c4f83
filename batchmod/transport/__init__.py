"""Send requests and fetch files: the only room that knows the HTTP client.

`Transport.send` answers with a `Reply` whose `sent` says all that can be known of a request that may cost money;
`Transport.download` fetches a finished video into a part file; `Transport.ask` asks about a file without fetching it.
"""

from batchmod.transport.asking import Asked
from batchmod.transport.client import Transport
from batchmod.transport.doors import BRIEFLY_S
from batchmod.transport.download import Fetched

__all__ = ["BRIEFLY_S", "Asked", "Fetched", "Transport"]
