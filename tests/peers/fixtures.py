"""The server that the conformance suites expect, in every revision: `python fixtures.py`.

Its tools, prompts and resources are the suites' own, by name and by what they do; a few tools beside them are for the
clients that `tests/envoy` drives. Speaks 2026-07-28 without sessions and the older revisions with them, on `/mcp` of a
port of the system's choice on 127.0.0.1, and says on stderr where that is.
"""

import json
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.subscriptions import ListenHandler

from fixture_tools import (
    PNG,
    RETRY_MS,
    SCHEMAS,
    Json,
    Request,
    ask_user,
    bus,
    call_tool,
    embedded,
    image,
    input_required,
    list_tools,
    responses,
    text,
)

NAME = "mcp-policy-fixtures"
MODERN = "2026-07-28"


def user(content: Json) -> Json:
    return {"role": "user", "content": content}


PROMPTS: dict[str, tuple[list[str], Callable[[Mapping[str, str]], list[Json]]]] = {
    "test_simple_prompt": ([], lambda _: [user(text("This is a simple prompt for testing."))]),
    "test_prompt_with_arguments": (
        ["arg1", "arg2"],
        lambda given: [user(text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"))],
    ),
    "test_prompt_with_embedded_resource": (
        ["resourceUri"],
        lambda given: [user(embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing."))],
    ),
    "test_prompt_with_image": ([], lambda _: [user(image()), user(text("Please look at the image above."))]),
    "test_input_required_result_prompt": ([], lambda _: [user(text("This prompt had its answer."))]),
}
RESOURCES = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}


async def list_prompts(_: Request, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    prompts = [
        {
            "name": name,
            "description": f"The suite's `{name}`.",
            "arguments": [{"name": argument, "required": True} for argument in arguments],
        }
        for name, (arguments, _) in PROMPTS.items()
    ]
    return types.ListPromptsResult.model_validate({"prompts": prompts})


async def get_prompt(
    _: Request, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    if params.name not in PROMPTS:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    if params.name == "test_input_required_result_prompt" and "user_context" not in responses(params):
        request = ask_user("What context should the prompt use?", context="string")
        return types.InputRequiredResult.model_validate(input_required({"user_context": request}))
    arguments, messages = PROMPTS[params.name]
    given = params.arguments or {}
    if missing := [argument for argument in arguments if argument not in given]:
        raise MCPError(types.INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    return types.GetPromptResult.model_validate({"messages": messages(given)})


async def list_resources(_: Request, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    resources = [{"uri": uri, "name": uri, "mimeType": what["mimeType"]} for uri, what in RESOURCES.items()]
    return types.ListResourcesResult.model_validate({"resources": resources})


async def list_templates(_: Request, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
    template = {"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"}
    return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": [template]})


async def read_resource(context: Request, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    content = RESOURCES.get(uri)
    before, after = "test://template/", "/data"
    if uri.startswith(before) and uri.endswith(after):
        identifier = uri.removeprefix(before).removesuffix(after)
        data = {"id": identifier, "templateTest": True, "data": f"Data for ID: {identifier}"}
        content = {"mimeType": "application/json", "text": json.dumps(data)}
    if content is None:
        raise MCPError(
            types.INVALID_PARAMS if context.protocol_version == MODERN else -32002, "Resource not found", {"uri": uri}
        )
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri} | content]})


async def no_completion(_: Request, __: types.CompleteRequestParams) -> types.CompleteResult:
    return types.CompleteResult.model_validate({"completion": {"values": [], "total": 0, "hasMore": False}})


async def nothing(_: Request, __: Any) -> types.EmptyResult:
    return types.EmptyResult()


class Events(EventStore):
    """What was sent, so that a client can have the rest of a stream that broke off."""

    def __init__(self) -> None:
        self.sent: list[tuple[StreamId, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: types.JSONRPCMessage | None) -> EventId:
        self.sent.append((stream_id, message))
        return str(len(self.sent))

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        last = int(last_event_id)
        if not 0 < last <= len(self.sent):
            return None
        stream = self.sent[last - 1][0]
        for number, (of, message) in enumerate(self.sent[last:], start=last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def main() -> None:
    server = Server(
        NAME,
        version="1",
        get_tool_input_schema=lambda name: SCHEMAS.get(name),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=no_completion,
        on_set_logging_level=nothing,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    app = server.streamable_http_app(event_store=Events(), retry_interval=RETRY_MS, host="127.0.0.1")
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"fixtures.py: listening on 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


if __name__ == "__main__":
    anyio.run(main)
