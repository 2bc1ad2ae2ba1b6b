// Recent decisions, as calls that can be tried: their shape, because no value of an argument is kept anywhere.

import { $, h, sync } from "./elements.js";
import { plain } from "./texts.js";

/** What a person has to fill in. */
export const PLACEHOLDER = "…";
// The method by which a thing is reached, unless a call says otherwise.
const USUAL = { tool: "tools/call", prompt: "prompts/get", resource: "resources/read" };

// By what they are called on the page, the newest of those that are alike.
let shapes = new Map();

/** Lets a person pick one of these. */
export function offerDecisions(decisions) {
  const box = $("recent");
  // What is open is not changed under a person's hand.
  if (document.activeElement === box) return;
  shapes = new Map();
  for (const decision of decisions) {
    const { grant, arg_keys: names = [] } = decision;
    const call = callOf(decision);
    const name = call.tool ?? call.prompt ?? call.resource ?? call.method;
    const label = plain([name, names.length > 0 && `(${names.join(", ")})`, grant].filter(Boolean).join(" "));
    if (!shapes.has(label)) shapes.set(label, JSON.stringify(call, null, 2));
  }
  sync(box, [...shapes.keys()], String, (label) => h("option", { value: label }, label));
  $("recent-box").hidden = shapes.size === 0;
  $("recent-hint").hidden = shapes.size > 0;
}

/** The text of the call that is called so. */
export const shapeOf = (label) => shapes.get(label);

function callOf(decision) {
  const { method, grant, ts, arg_keys: names } = decision;
  const reached = Object.keys(USUAL).find((name) => decision[name] !== undefined);
  const call = {};
  if (reached) call[reached] = decision[reached];
  if (!reached || method !== USUAL[reached]) call.method = method;
  if (names) call.arguments = Object.fromEntries(names.map((name) => [name, PLACEHOLDER]));
  if (grant && grant !== "anonymous") call.grant = grant;
  return { ...call, at: ts };
}
