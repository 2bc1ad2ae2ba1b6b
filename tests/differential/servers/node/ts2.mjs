// A stateless server of both eras on the TypeScript SDK, version 2: `node ts2.mjs [express]`. With `express` the body
// is read by express.json() before the SDK sees it.
import { toNodeHandler } from "@modelcontextprotocol/node";
import { Server, createMcpHandler } from "@modelcontextprotocol/server";
import express from "express";
import { record, serve } from "./record.mjs";

const handler = createMcpHandler(() => {
  const server = new Server({ name: "ts2", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => ({ tools: [] }));
  server.setRequestHandler("tools/call", ({ params }) => {
    record(params.name, params.arguments);
    return { content: [{ type: "text", text: "ran" }] };
  });
  return server;
});
const handle = toNodeHandler(handler);

if (process.argv[2] === "express") {
  const application = express();
  application.use(express.json());
  application.all("/mcp", (request, response) => handle(request, response, request.body));
  serve(application);
} else {
  serve(handle);
}
