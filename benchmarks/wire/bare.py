"""The relay alone, without observer, journal and worker: python -m benchmarks.wire.bare SERVER_PORT FOLDER"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from proxy.certificates import default_certificate
from proxy.relay import Proxy


async def serve(server_port: int, folder: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    proxy = await Proxy.start("127.0.0.1", 0, "127.0.0.1", server_port, default_certificate(folder), None)
    print(f"listening on 127.0.0.1:{proxy.address[1]} -> without recording", file=sys.stderr, flush=True)
    await stop.wait()
    await proxy.stop()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
