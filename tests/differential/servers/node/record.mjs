// What the TypeScript servers share: which case a request belongs to, and the line that says what was run.
import { AsyncLocalStorage } from "node:async_hooks";
import { createServer } from "node:http";

const cases = new AsyncLocalStorage();

/** JSON text, in which infinite numbers are numbers still. */
function text(value) {
  if (value === undefined) return null;
  const marked = (_, item) => (item === Infinity ? "\0+" : item === -Infinity ? "\0-" : item);
  return JSON.stringify(value, marked).replace(/"\\u0000([+-])"/g, (_, sign) => (sign === "-" ? "-1e999" : "1e999"));
}

/** An object with what it inherits, as code that reads it by name sees it. */
function seen(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const own = Object.entries(value);
  const inherited = [];
  for (const name in value) if (!Object.hasOwn(value, name)) inherited.push([name, value[name]]);
  return inherited.length === 0 ? value : Object.fromEntries([...own, ...inherited]);
}

/** Records that a tool is run; on stdout, one JSON object a line. Both values are JSON text. */
export function record(tool, args) {
  console.log(JSON.stringify({ case: cases.getStore() ?? null, tool: text(tool), arguments: text(seen(args)) }));
}

/** Serves on a free port of the loopback interface, each request as the case that its header names. */
export function serve(handler) {
  const server = createServer((request, response) =>
    cases.run(request.headers["x-case"], () => handler(request, response)),
  );
  server.listen(0, "127.0.0.1", () => console.error(`listening on 127.0.0.1:${server.address().port}`));
}
