// The TypeScript SDK's clients, driven step by step: `node client.mjs URL STEPS_JSON [REVISION]`.
//
// Without a revision it is the first SDK (`@modelcontextprotocol/sdk`), on HTTP+SSE when the URL ends in /sse; with one
// it is the second (`@modelcontextprotocol/client`), which offers that revision, or with `auto` asks the server first.
//
// A step is {"list": true} (every page), {"call": NAME, "arguments": {...}, "meta"?: {...}} or
// {"revision": true}. Prints one JSON array with one outcome for each step: {"tools": [...]}, {"isError": bool, "text": "..."}, {"revision": "..."}, or
// {"error": {"code": int, "message": "..."}} for a JSON-RPC error. Everything else, a failed HTTP exchange too, goes to
// stderr and ends with exit code 1.

import * as second from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpError } from "@modelcontextprotocol/sdk/types.js";

const TIME_LIMIT_MS = 60_000;

const MODERN = "2026-07-28";

async function run(client, step) {
  // The first SDK tells it to the transport only.
  if (step.revision) return { revision: client.getNegotiatedProtocolVersion?.() ?? client.transport.protocolVersion };
  if (step.list) {
    const tools = [];
    let page;
    do {
      page = await client.listTools(page && { cursor: page.nextCursor });
      tools.push(...page.tools.map((tool) => tool.name));
    } while (page.nextCursor !== undefined);
    return { tools };
  }
  const result = await client.callTool({ name: step.call, arguments: step.arguments, _meta: step.meta });
  const texts = result.content.filter((block) => block.type === "text").map((block) => block.text);
  return { isError: result.isError === true, text: texts.join("\n") };
}

async function outcome(client, step) {
  try {
    return await run(client, step);
  } catch (error) {
    if (!(error instanceof McpError || error instanceof second.ProtocolError)) throw error;
    // The SDK puts the code before the message that the server sent.
    const prefix = `MCP error ${error.code}: `;
    const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
    return { error: { code: error.code, message } };
  }
}

/** A client and its transport, not yet connected. */
function make(url, revision) {
  const info = { name: "mcp-policy-peers", version: "0" };
  if (revision === undefined) {
    const Transport = url.pathname.endsWith("/sse") ? SSEClientTransport : StreamableHTTPClientTransport;
    return [new Client(info), new Transport(url)];
  }
  const isLegacy = revision !== "auto" && revision !== MODERN;
  const options = isLegacy
    ? { supportedProtocolVersions: [revision] }
    : { versionNegotiation: { mode: revision === "auto" ? "auto" : { pin: revision } } };
  return [new second.Client(info, options), new second.StreamableHTTPClientTransport(url)];
}

async function main(url, steps, revision) {
  const [client, transport] = make(new URL(url), revision);
  // What goes wrong outside a step, such as on the GET stream.
  client.onerror = (error) => console.error("client.mjs:", error);
  await client.connect(transport);
  const outcomes = [];
  for (const step of steps) outcomes.push(await outcome(client, step));
  await transport.terminateSession?.();
  await client.close();
  return outcomes;
}

setTimeout(() => {
  console.error(`client.mjs: not done after ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);

const [url, steps, revision] = process.argv.slice(2);
try {
  const line = JSON.stringify(await main(url, JSON.parse(steps), revision));
  process.stdout.write(`${line}\n`, () => process.exit(0));
} catch (error) {
  console.error("client.mjs:", error);
  process.exit(1);
}
