"""The relay alone, without observer, journal and worker: python -m benchmarks.wire.bare SERVER_PORT FOLDER"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from proxy.certificates import default_certificate
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions


async def serve(server_port: int, folder: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = RelayOptions(certificate=default_certificate(folder))
    proxy = await Proxy.start(("127.0.0.1", 0), ("127.0.0.1", server_port), None, options)
    print(f"listening on 127.0.0.1:{proxy.address[1]} -> without recording", file=sys.stderr, flush=True)
    await stop.wait()
    await proxy.stop()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
