// The TypeScript SDK's client, driven step by step: `node client.mjs URL STEPS_JSON`.
//
// A step is {"list": true} (every page) or {"call": NAME, "arguments": {...}}. Prints one JSON array with one outcome
// for each step: {"tools": [...]}, {"isError": bool, "text": "..."}, or {"error": {"code": int, "message": "..."}} for
// a JSON-RPC error. Everything else, a failed HTTP exchange too, goes to stderr and ends with exit code 1.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpError } from "@modelcontextprotocol/sdk/types.js";

const TIME_LIMIT_MS = 60_000;

async function run(client, step) {
  if (step.list) {
    const tools = [];
    let page;
    do {
      page = await client.listTools(page && { cursor: page.nextCursor });
      tools.push(...page.tools.map((tool) => tool.name));
    } while (page.nextCursor !== undefined);
    return { tools };
  }
  const result = await client.callTool({ name: step.call, arguments: step.arguments });
  const texts = result.content.filter((block) => block.type === "text").map((block) => block.text);
  return { isError: result.isError === true, text: texts.join("\n") };
}

async function outcome(client, step) {
  try {
    return await run(client, step);
  } catch (error) {
    if (!(error instanceof McpError)) throw error;
    // The SDK puts the code before the message that the server sent.
    const prefix = `MCP error ${error.code}: `;
    const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
    return { error: { code: error.code, message } };
  }
}

async function main(url, steps) {
  const transport = new StreamableHTTPClientTransport(new URL(url));
  const client = new Client({ name: "mcp-policy-peers", version: "0" });
  // What goes wrong outside a step, such as on the GET stream.
  client.onerror = (error) => console.error("client.mjs:", error);
  await client.connect(transport);
  const outcomes = [];
  for (const step of steps) outcomes.push(await outcome(client, step));
  await transport.terminateSession();
  await client.close();
  return outcomes;
}

setTimeout(() => {
  console.error(`client.mjs: not done after ${TIME_LIMIT_MS} ms`);
  process.exit(1);
}, TIME_LIMIT_MS);

const [url, steps] = process.argv.slice(2);
try {
  const line = JSON.stringify(await main(url, JSON.parse(steps)));
  process.stdout.write(`${line}\n`, () => process.exit(0));
} catch (error) {
  console.error("client.mjs:", error);
  process.exit(1);
}
