"""The tools of `fixtures.py`: what the conformance suites call, by the names that these expect, and what the clients
of `tests/envoy` call.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged

Json = dict[str, Any]
Request = ServerRequestContext[Any, Any]
Handler = Callable[[Request, types.CallToolRequestParams], Awaitable[Json]]

# How long a client is to wait before it asks again for a stream that was closed.
RETRY_MS = 100
PAUSE_SECONDS = 0.05
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = base64.b64encode(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data\0\0\0\0").decode()

bus = InMemorySubscriptionBus()


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def image() -> Json:
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def embedded(uri: str, media_type: str, value: str) -> Json:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": media_type, "text": value}}


def complete(*content: Json) -> Json:
    return {"content": list(content)}


def object_schema(properties: Json, required: list[str]) -> Json:
    return {"type": "object", "properties": properties, "required": required}


# They only answer.

ANSWERS: dict[str, Json] = {
    "test_simple_text": complete(text("This is a simple text response for testing.")),
    "test_image_content": complete(image()),
    "test_audio_content": complete({"type": "audio", "data": WAV, "mimeType": "audio/wav"}),
    "test_embedded_resource": complete(
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": complete(
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
    "test_error_handling": {
        "content": [text("This tool intentionally returns an error for testing")],
        "isError": True,
    },
    "json_schema_2020_12_tool": complete(text("JSON Schema 2020-12 is kept.")),
    "test_x_mcp_header": complete(text("The header agrees with the argument.")),
    # For the clients that tests/envoy drives.
    "get-env": complete(text("SECRET=1")),
    "get-sum": complete(text("The sum is 3.")),
}


async def echo(_: Request, params: types.CallToolRequestParams) -> Json:
    return complete(text(f"Echo: {(params.arguments or {})['message']}"))


# They speak before they answer.


async def log(context: Request, message: str) -> None:
    await context.session.send_log_message("info", message, related_request_id=context.request_id)


async def with_logging(context: Request, _: types.CallToolRequestParams) -> Json:
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(context, message)
        await anyio.sleep(PAUSE_SECONDS)
    return complete(text("Tool with logging executed successfully"))


async def with_progress(context: Request, _: types.CallToolRequestParams) -> Json:
    for progress in (0, 50, 100):
        await context.session.report_progress(progress, 100, f"Completed step {progress} of 100")
        await anyio.sleep(PAUSE_SECONDS)
    return complete(text("Tool with progress executed successfully"))


async def reconnection(context: Request, _: types.CallToolRequestParams) -> Json:
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
        await anyio.sleep(2 * RETRY_MS / 1000)
    return complete(text("Reconnection test completed"))


async def sampling(context: Request, params: types.CallToolRequestParams) -> Json:
    prompt = types.SamplingMessage(role="user", content=types.TextContent(text=(params.arguments or {})["prompt"]))
    result = await context.session.create_message([prompt], max_tokens=100, related_request_id=context.request_id)
    answer = result.content.text if isinstance(result.content, types.TextContent) else "none"
    return complete(text(f"LLM response: {answer}"))


def elicits(message: str, schema: Json) -> Handler:
    async def handler(context: Request, params: types.CallToolRequestParams) -> Json:
        asked = (params.arguments or {}).get("message", message)
        result = await context.session.elicit_form(asked, schema, context.request_id)
        return complete(text(f"User response: action={result.action}, content={json.dumps(result.content)}"))

    return handler


def options(*pairs: tuple[str, str]) -> list[Json]:
    return [{"const": value, "title": title} for value, title in pairs]


THREE = ("option1", "option2", "option3")
TITLED = options(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
USER = object_schema({"username": {"type": "string"}, "email": {"type": "string"}}, ["username", "email"])
DEFAULTS = object_schema(
    {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    [],
)
ENUMS = object_schema(
    {
        "untitledSingle": {"type": "string", "enum": list(THREE)},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": list(THREE)}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
    [],
)


# Of 2026-07-28: what they ask of the client, and what they make of its answers.


def missing_capability(*names: str) -> MCPError:
    data = {"requiredCapabilities": {name: {} for name in names}}
    return MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "Missing required client capability", data)


def declares(context: Request, name: str) -> bool:
    capabilities = context.session.client_capabilities
    return capabilities is not None and getattr(capabilities, name) is not None


async def needs_sampling(context: Request, _: types.CallToolRequestParams) -> Json:
    if not declares(context, "sampling"):
        raise missing_capability("sampling")
    return complete(text("The client declares sampling."))


def ask_user(message: str, **properties: str) -> Json:
    schema = object_schema({name: {"type": kind} for name, kind in properties.items()}, list(properties))
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def ask_model(prompt: str) -> Json:
    message = {"role": "user", "content": text(prompt)}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 100}}


ASK_NAME = ask_user("What is your name?", name="string")
ASK_CAPITAL = ask_model("What is the capital of France?")
ASK_ROOTS: Json = {"method": "roots/list"}


def input_required(requests: Json, state: str | None = None) -> Json:
    return {"resultType": "input_required", "inputRequests": requests} | ({"requestState": state} if state else {})


def responses(params: types.CallToolRequestParams | types.GetPromptRequestParams) -> dict[str, Json]:
    given = params.input_responses or {}
    return {key: value.model_dump(by_alias=True, mode="json", exclude_none=True) for key, value in given.items()}


def is_answer(request: Json, response: Json) -> bool:
    match request["method"]:
        case "elicitation/create":
            if response.get("action") != "accept":
                return "action" in response
            content, schema = response.get("content") or {}, request["params"]["requestedSchema"]
            kinds = {"string": str, "boolean": bool}
            wanted = schema["properties"].items()
            return all(isinstance(content.get(name), kinds[kind["type"]]) for name, kind in wanted)
        case "sampling/createMessage":
            return "content" in response
        case _:
            return "roots" in response


def asks(requests: Json, done: str, state: str | None = None) -> Handler:
    """Asks until every request is answered, and has its state back when it gave one."""

    async def handler(_: Request, params: types.CallToolRequestParams) -> Json:
        given = responses(params)
        unanswered = {key: ask for key, ask in requests.items() if not is_answer(ask, given.get(key, {}))}
        if unanswered or params.request_state != state:
            return input_required(unanswered or requests, state)
        return complete(text(f"{done} {json.dumps(given)}"))

    return handler


async def multi_round(_: Request, params: types.CallToolRequestParams) -> Json:
    first = ask_user("Step 1: What is your name?", name="string")
    second = ask_user("Step 2: What is your color?", color="string")
    match params.request_state, responses(params):
        case "round-1", {"step1": _}:
            return input_required({"step2": second}, "round-2")
        case "round-2", {"step2": _}:
            return complete(text("All rounds are done."))
        case _:
            return input_required({"step1": first}, "round-1")


async def by_capabilities(context: Request, params: types.CallToolRequestParams) -> Json:
    offers = {"elicitation": ("user_name", ASK_NAME), "sampling": ("capital_question", ASK_CAPITAL)}
    requests = dict(offer for name, offer in offers.items() if declares(context, name))
    if not requests:
        raise missing_capability(*offers)
    return input_required(requests) if not params.input_responses else complete(text("Thank you."))


async def streaming_elicitation(context: Request, params: types.CallToolRequestParams) -> Json:
    await context.session.report_progress(0, 100)
    return await asks({"user_name": ASK_NAME}, "Streamed:")(context, params)


async def logging_tool(context: Request, _: types.CallToolRequestParams) -> Json:
    await log(context, "One message")
    return complete(text("Logged."))


def triggers(event: Any) -> Handler:
    async def handler(_context: Request, _: types.CallToolRequestParams) -> Json:
        await bus.publish(event)
        return complete(text("Changed."))

    return handler


HANDLERS: dict[str, Handler] = {
    "echo": echo,
    "test_tool_with_logging": with_logging,
    "test_tool_with_progress": with_progress,
    "test_reconnection": reconnection,
    "test_sampling": sampling,
    "test_elicitation": elicits("Who are you?", USER),
    "test_elicitation_sep1034_defaults": elicits("Please check these defaults.", DEFAULTS),
    "test_elicitation_sep1330_enums": elicits("Please choose.", ENUMS),
    "test_missing_capability": needs_sampling,
    "test_streaming_elicitation": streaming_elicitation,
    "test_logging_tool": logging_tool,
    "test_trigger_tool_change": triggers(ToolsListChanged()),
    "test_trigger_prompt_change": triggers(PromptsListChanged()),
    "test_input_required_result_elicitation": asks({"user_name": ASK_NAME}, "Hello,"),
    "test_input_required_result_sampling": asks({"capital_question": ASK_CAPITAL}, "The model said:"),
    "test_input_required_result_list_roots": asks({"client_roots": ASK_ROOTS}, "The roots:"),
    "test_input_required_result_request_state": asks(
        {"confirm": ask_user("Go on?", ok="boolean")}, "state-ok", "the state of this call"
    ),
    "test_input_required_result_tampered_state": asks(
        {"confirm": ask_user("Go on?", ok="boolean")}, "state-ok", "the state of this call"
    ),
    "test_input_required_result_multiple_inputs": asks(
        {"user_name": ASK_NAME, "greeting": ask_model("Write a greeting."), "client_roots": ASK_ROOTS},
        "All inputs:",
        "three inputs",
    ),
    "test_input_required_result_multi_round": multi_round,
    "test_input_required_result_capabilities": by_capabilities,
}

SCHEMAS: dict[str, Json] = {
    "echo": object_schema({"message": {"type": "string"}}, ["message"]),
    "get-sum": object_schema({"a": {"type": "number"}, "b": {"type": "number"}}, ["a", "b"]),
    "test_sampling": object_schema({"prompt": {"type": "string"}}, ["prompt"]),
    "test_elicitation": object_schema({"message": {"type": "string"}}, ["message"]),
    "test_x_mcp_header": object_schema({"region": {"type": "string", "x-mcp-header": "Region"}}, []),
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}

TOOLS = [
    {"name": name, "description": f"The suite's `{name}`.", "inputSchema": SCHEMAS.get(name, {"type": "object"})}
    for name in [*ANSWERS, *HANDLERS]
]


async def list_tools(_: Request, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult.model_validate({"tools": TOOLS})


async def call_tool(
    context: Request, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    if params.name in HANDLERS:
        result = await HANDLERS[params.name](context, params)
    elif params.name in ANSWERS:
        result = ANSWERS[params.name]
    else:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    kind = types.InputRequiredResult if "inputRequests" in result else types.CallToolResult
    return kind.model_validate(result)
