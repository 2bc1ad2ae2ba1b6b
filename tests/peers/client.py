"""The Python SDK's client, driven step by step: `python client.py URL STEPS_JSON [MODE]`.

Without a mode it is the SDK's default, `auto`: asks with server/discover first, then falls back to the handshake. On
HTTP+SSE when the URL ends in /sse.

A step is {"list": true} (every page), {"call": NAME, "arguments": {...}, "meta"?: {...}} or {"revision": true}. Prints one JSON array
with one outcome for each step: {"tools": [...]}, {"isError": bool, "text": "..."}, {"revision": "..."}, or
{"error": {"code": int, "message": "..."}} for a JSON-RPC error. Everything else goes to stderr and ends with exit
code 1.
"""

import json
import sys
from typing import Any

import anyio
from mcp import Client, MCPError
from mcp.client.sse import sse_client

TIME_LIMIT_SECONDS = 60


async def run(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    if step.get("revision"):
        return {"revision": client.protocol_version}
    if step.get("list"):
        # Without the SDK's cache, because a list that was not asked for again would prove nothing.
        page = await client.list_tools(cache_mode="bypass")
        tools = [tool.name for tool in page.tools]
        while page.next_cursor is not None:
            page = await client.list_tools(cursor=page.next_cursor, cache_mode="bypass")
            tools += [tool.name for tool in page.tools]
        return {"tools": tools}
    result = await client.call_tool(step["call"], step.get("arguments"), meta=step.get("meta"))
    texts = [block.text for block in result.content if block.type == "text"]
    return {"isError": bool(result.is_error), "text": "\n".join(texts)}


async def outcome(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    try:
        return await run(client, step)
    except MCPError as error:
        return {"error": {"code": error.code, "message": error.message}}


async def main(url: str, steps: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    with anyio.fail_after(TIME_LIMIT_SECONDS):
        async with Client(sse_client(url) if url.endswith("/sse") else url, mode=mode) as client:
            return [await outcome(client, step) for step in steps]


if __name__ == "__main__":
    chosen = sys.argv[3] if len(sys.argv) > 3 else "auto"
    print(json.dumps(anyio.run(main, sys.argv[1], json.loads(sys.argv[2]), chosen)))
