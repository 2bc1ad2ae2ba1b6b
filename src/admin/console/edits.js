// Edits of JSON text. All that an edit is not about stays as it was written: blanks, order, the digits of numbers.

import { member, read } from "./tree.js";

const MAX_LINE = 100;

const splice = (text, start, end, by) => text.slice(0, start) + by + text.slice(end);

/** On one line, with blanks as a person writes them. */
export function line(value) {
  if (Array.isArray(value)) return `[${value.map(line).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${line(inner)}`);
  return members.length > 0 ? `{ ${members.join(", ")} }` : "{}";
}

/** The blanks that the line begins with on which `at` stands. */
const indentAt = (text, at) => /^[ \t]*/.exec(text.slice(text.lastIndexOf("\n", at - 1) + 1))[0];

/**
 * Puts `value` at the place that `names` lead to from the document, and makes the objects that are missing on the way.
 * A new member of the document comes after the one called `after`, or last.
 */
export function put(text, names, value, after) {
  let node = read(text);
  for (const [index, name] of names.entries()) {
    const inner = Number.isInteger(name) ? node.elements?.[name] : member(node, name);
    if (!inner) {
      const rest = names.slice(index + 1).reduceRight((held, outer) => ({ [outer]: held }), value);
      return insert(text, node, name, rest, index === 0 ? after : undefined);
    }
    node = inner;
  }
  return splice(text, node.start, node.end, line(value));
}

/** A new member of an object, on a line of its own. */
function insert(text, node, name, value, after) {
  if (!node.members) throw new Error(`There is something else where ${JSON.stringify(name)} should stand.`);
  const written = `${JSON.stringify(name)}: ${line(value)}`;
  const { members } = node;
  const isOnOneLine = !text.slice(node.start, node.end).includes("\n");
  if (isOnOneLine) {
    const outer = indentAt(text, node.start);
    const all = members.map((one) => text.slice(one.start, one.node.end));
    all.splice(placeAfter(members, after), 0, written);
    return splice(text, node.start, node.end, `{\n${all.map((one) => `${outer}  ${one}`).join(",\n")}\n${outer}}`);
  }
  const before = members[placeAfter(members, after) - 1];
  if (!before) return splice(text, node.start + 1, node.start + 1, `\n${indentAt(text, node.start)}  ${written}`);
  const indent = indentAt(text, before.start);
  return splice(text, before.node.end, before.node.end, `,\n${indent}${written}`);
}

function placeAfter(members, name) {
  const index = members.findIndex((one) => one.name === name);
  return index < 0 ? members.length : index + 1;
}

/** A new element of a list, at its end. */
export function append(text, list, value) {
  const last = list.elements.at(-1);
  if (!last) return splice(text, list.start, list.end, line([value]));
  const isOnOneLine = !text.slice(list.start, list.end).includes("\n");
  const between = isOnOneLine ? ", " : `,\n${indentAt(text, last.start)}`;
  return splice(text, last.end, last.end, between + line(value));
}

/** Takes the member or element at `index` out of a node, and the node itself stays. */
export function remove(text, node, index) {
  const parts = node.members?.map(({ start, node: { end } }) => ({ start, end })) ?? node.elements;
  const { start, end } = parts[index];
  if (parts.length === 1) return splice(text, node.start + 1, node.end - 1, "");
  return index > 0 ? splice(text, parts[index - 1].end, end, "") : splice(text, start, parts[1].start, "");
}

/** A part of `text`, laid out anew: what is short on one line. */
export function pretty(text, node, indent = "") {
  const short = flat(text, node);
  const parts = node.members ?? node.elements ?? [];
  if (parts.length === 0 || (indent !== "" && indent.length + short.length <= MAX_LINE)) return short;
  const lines = parts.map((part) => {
    const name = part.node ? `${JSON.stringify(part.name)}: ` : "";
    return `${indent}  ${name}${pretty(text, part.node ?? part, `${indent}  `)}`;
  });
  const [open, close] = node.members ? "{}" : "[]";
  return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}

function flat(text, node) {
  if (node.elements) return `[${node.elements.map((element) => flat(text, element)).join(", ")}]`;
  if (!node.members) return text.slice(node.start, node.end);
  const members = node.members.map((one) => `${JSON.stringify(one.name)}: ${flat(text, one.node)}`);
  return members.length > 0 ? `{ ${members.join(", ")} }` : "{}";
}
