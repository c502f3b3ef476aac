"""FastMCP's client of a gateway, in the environment of `.cache/peers`.

The plan comes as JSON in the first argument, what was seen goes out as JSON.
plan: {url, token, mode, read and denied: {name, arguments}, resource}
"""

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def see(plan: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {plan['token']}"}
    async with Client(StreamableHttpTransport(plan["url"], headers=headers), mode=plan["mode"]) as client:
        seen: dict[str, Any] = {"tools": [tool.name for tool in await client.list_tools()]}
        for step in ("read", "denied"):
            result = await client.call_tool_mcp(**plan[step])
            text = "\n".join(getattr(block, "text", "") for block in result.content)
            seen[step] = {"text": text, "isError": bool(result.is_error), "meta": result.meta}
        (content,) = await client.read_resource(plan["resource"])
        return {**seen, "resource": content.text}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(see(json.loads(sys.argv[1])))))
