"""FastMCP's own proxy in its best case: one client, connected before the proxy is made, reused for every call.

Its default connects anew for every request, which costs much more.
Run it as `python -m bench.fastmcp_proxy PORT UPSTREAM_URL`.
"""

import sys

import uvloop
from fastmcp import Client  # type: ignore[import-not-found,unused-ignore]
from fastmcp.server import create_proxy  # type: ignore[import-not-found,unused-ignore]


async def main(port: int, upstream: str) -> None:
    """Serve until stopped."""
    async with Client(upstream) as client:
        await create_proxy(client).run_async(
            transport="http",
            host="127.0.0.1",
            port=port,
            show_banner=False,
            log_level="warning",
            uvicorn_config={"http": "httptools", "access_log": False},
        )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
