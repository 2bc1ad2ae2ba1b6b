"""A stateless server of both eras on the Python SDK. Says on stderr where it listens, on stdout what it runs."""

import json
import socket
import sys

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server


async def list_tools(context, params):
    return types.ListToolsResult(tools=[])


async def call_tool(context, params):
    case = context.request.headers.get("x-case") if context.request is not None else None
    # Infinite numbers stay numbers.
    arguments = None if params.arguments is None else json.dumps(params.arguments).replace("Infinity", "1e999")
    print(json.dumps({"case": case, "tool": json.dumps(params.name), "arguments": arguments}), flush=True)
    return types.CallToolResult(content=[types.TextContent(type="text", text="ran")])


server = Server("python", on_list_tools=list_tools, on_call_tool=call_tool)
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
application = server.streamable_http_app(stateless_http=True, json_response=True)
uvicorn.Server(uvicorn.Config(application, log_level="error")).run(sockets=[listener])
