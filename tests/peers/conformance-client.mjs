// The TypeScript SDK's second client (`@modelcontextprotocol/client`), for the client scenarios of the conformance
// suites, which run `node conformance-client.mjs URL`: connects in the era that the scenario is about, lists what there
// is, and calls every tool, with the arguments that the scenario gives or else with ones that fit.
//
// With MCP_POLICY_GATEWAY it goes through a gateway: it leaves the address of the scenario's server in the file
// MCP_POLICY_TARGET, for the gateway's upstream to be there, and connects to the gateway under the same path.

import { writeFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const { MCP_CONFORMANCE_PROTOCOL_VERSION: version, MCP_CONFORMANCE_CONTEXT: context } = process.env;
const { MCP_POLICY_GATEWAY: gateway, MCP_POLICY_TARGET: target } = process.env;
const MODERN = "2026-07-28";

/** The URL to connect to. */
function destination(url) {
  if (!gateway) return url;
  writeFileSync(target, `127.0.0.1:${url.port}`);
  const through = new URL(url);
  through.host = gateway;
  return through;
}

/** Arguments that fit a tool's schema. One scenario wants a schema that it sent back, so that stands for any object. */
function example({ properties = {} }, object) {
  const values = { string: "text", number: 2, integer: 2, boolean: true, array: [], object };
  return Object.fromEntries(Object.entries(properties).map(([name, { type }]) => [name, values[type] ?? null]));
}

async function main(url) {
  const mode = version === MODERN ? { pin: MODERN } : "legacy";
  const client = new Client(
    { name: "mcp-policy-peers", version: "0" },
    { capabilities: { elicitation: { form: { applyDefaults: true } }, sampling: {} }, versionNegotiation: { mode } },
  );
  client.onerror = (error) => console.error("conformance-client.mjs:", error);
  client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: {} }));
  await client.connect(new StreamableHTTPClientTransport(destination(url)));
  const { tools } = await client.listTools();
  const given = JSON.parse(context ?? "{}").toolCalls;
  const fitting = ({ name, inputSchema }) => ({ name, arguments: example(inputSchema, tools[0].inputSchema) });
  const calls = given ?? tools.map(fitting);
  for (const call of calls) {
    // What a server refuses is part of some scenarios.
    await client.callTool(call).catch((error) => console.error(`${call.name}:`, error));
  }
  await client.close();
}

await main(new URL(process.argv[2]));
