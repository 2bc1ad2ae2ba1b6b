// A stateless server on the TypeScript SDK, version 1: `node ts1.mjs [express]`. With `express` the body is read by
// express.json() before the SDK sees it, as the SDK's own application does.
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import express from "express";
import { record, serve } from "./record.mjs";

async function handle(request, response) {
  const server = new Server({ name: "ts1", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [] }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => {
    record(params.name, params.arguments);
    return { content: [{ type: "text", text: "ran" }] };
  });
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  await server.connect(transport);
  response.on("close", () => server.close());
  await transport.handleRequest(request, response, request.body);
}

if (process.argv[2] === "express") {
  const application = express();
  application.use(express.json());
  application.all("/mcp", handle);
  serve(application);
} else {
  serve(handle);
}
