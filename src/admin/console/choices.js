// What a policy says of one tool, as one of five choices, and how its text is edited so that it says another.

import { append, put, remove } from "./edits.js";
import { fits, member, read, valueOf } from "./tree.js";

/** The choices, and what they are called. */
export const CHOICES = { allow: "Allow", deny: "Deny", hide: "Hide", limit: "Limit", approve: "Approve" };
/** The windows that can be chosen. */
export const WINDOWS = ["minute", "hour", "day"];

const LIMIT = { max: 30, window: "minute" };
// What an entry may have beside what was chosen.
const ASIDE = ["pin", "mode", "reason"];

/**
 * What the text whose tree is `root` says of the tool `name`, by the entry of the key `key` where one applies: a
 * `choice`, unless it is not known or it `hasRules` of its own; the pattern it is `hiddenBy`; and a `limit` that can be
 * changed.
 */
export function stateOf(root, name, key) {
  const hiddenBy = patternsOf(root).find((pattern) => fits(pattern, name));
  if (hiddenBy !== undefined) return { choice: "hide", hiddenBy };
  if (key === undefined) return { choice: member(root, "default")?.value };
  const entry = member(member(root, "tools"), key);
  if (!entry) return {};
  const value = valueOf(entry) ?? {};
  const names = Object.keys(value).filter((member) => !ASIDE.includes(member));
  const only = names.length === 1 ? value[names[0]] : undefined;
  if (names.length === 0) return { choice: "allow" };
  if (value.action === "deny") return { choice: "deny" };
  if (value.action === "require_approval" ? names.length === 1 : value.require_approval === true && only) {
    return { choice: "approve" };
  }
  if (names[0] === "rate_limit" && only) return { choice: "limit" };
  if (names[0] === "limits" && only?.length > 0) {
    const [limit] = only;
    return { choice: "limit", limit: key === name && only.length === 1 ? limit : undefined };
  }
  return { hasRules: true };
}

/** `text` with another choice for the tool `name`. What it said of the tool before goes, but for a pin. */
export function choose(text, name, choice) {
  const edited = choice === "hide" ? hide(text, name) : shown(text, name);
  if (choice === "hide") return without(edited, name);
  const old = member(member(read(edited), "tools"), name);
  const pin = old && choice !== "deny" ? member(old, "pin") : undefined;
  return put(edited, ["tools", name], { ...ENTRIES[choice](name), ...(pin && { pin: pin.value }) });
}

const ENTRIES = {
  allow: () => ({}),
  deny: () => ({ action: "deny" }),
  limit: (name) => ({ limits: [{ counter: name, ...LIMIT }] }),
  approve: () => ({ require_approval: true }),
};

/** `text` with another `max` or `window` in the only limit of the tool `name`. */
export const limit = (text, name, which, value) => put(text, ["tools", name, "limits", 0, which], value);

const patternsOf = (root) =>
  (member(root, "hide")?.elements ?? []).map((element) => element.value).filter((value) => typeof value === "string");

function hide(text, name) {
  const root = read(text);
  if (patternsOf(root).some((pattern) => fits(pattern, name))) return text;
  const list = member(root, "hide");
  return list?.elements ? append(text, list, name) : put(text, ["hide"], [name], "default");
}

function shown(text, name) {
  const list = member(read(text), "hide");
  const index = list?.elements?.findIndex((element) => element.value === name) ?? -1;
  return index < 0 ? text : remove(text, list, index);
}

function without(text, name) {
  const tools = member(read(text), "tools");
  const index = tools?.members?.findIndex((one) => one.name === name) ?? -1;
  return index < 0 ? text : remove(text, tools, index);
}
