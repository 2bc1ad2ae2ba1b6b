// How dangerous each tool is, by the words of its own definition, and the tools in that order.

import { $, h } from "./elements.js";
import { code, count, plain } from "./texts.js";

// In rising order.
const CATEGORIES = {
  read: "Read",
  write: "Write",
  execute: "Execute",
  destructive: "Destructive",
  financial: "Financial",
};
const ORDER = Object.keys(CATEGORIES);
const SEVERITIES = { low: "Low", medium: "Medium", high: "High", critical: "Critical" };
// As many words, and letters of each, as a person reads.
const MAX_WORDS = 8;
const MAX_LETTERS = 80;

// What cannot be judged is the worst.
const rankOf = ({ risk }) => (risk ? ORDER.indexOf(risk.category) : ORDER.length);
const severityOf = ({ risk }) => risk?.severity ?? "critical";

/** Those of `tools` that a person wants to see, in the order that was chosen. */
export function chosen(tools) {
  $("tools-views").hidden = tools.length === 0;
  for (const option of $("tools-severity").options) {
    const many = tools.filter((tool) => severityOf(tool) === option.value).length;
    option.text = option.value ? `${SEVERITIES[option.value]} (${count.format(many)})` : "All";
  }
  const wanted = $("tools-severity").value;
  const kept = wanted ? tools.filter((tool) => severityOf(tool) === wanted) : [...tools];
  if ($("tools-order").value === "risk") kept.sort((a, b) => rankOf(b) - rankOf(a));
  return kept;
}

/** What is said of a tool's risk: in two words, and opened with the words of the server that decided. */
export class Risk {
  #key;

  constructor() {
    this.summary = h("summary");
    this.why = h("p");
    this.element = h("details", {}, this.summary, this.why);
  }

  show(risk) {
    const key = JSON.stringify(risk);
    // What a person is reading is not made anew.
    if (key === this.#key) return;
    this.#key = key;
    this.element.className = `risk ${severityOf({ risk })}`;
    const category = h("b", {}, risk ? CATEGORIES[risk.category] : "Not known");
    const severity = risk ? ` ${SEVERITIES[risk.severity]}` : "";
    this.summary.replaceChildren(h("span", { className: "unseen" }, "Risk: "), category, severity);
    this.why.replaceChildren(...why(risk));
  }
}

function why(risk) {
  if (!risk) return ["Its definition cannot be read."];
  const decides = ({ says }) => says === risk.category;
  const deciding = risk.reasons.filter(decides).map(found);
  const others = risk.reasons.filter((reason) => !decides(reason));
  const also = others.map((reason) => [...found(reason), ` says ${CATEGORIES[reason.says]}`]);
  const unknown = `Nothing says what it does, so it is taken for ${CATEGORIES[risk.category]}.`;
  return [
    ...(deciding.length > 0 ? ["Decided by ", ...listed(deciding), "."] : [unknown]),
    ...(also.length > 0 ? [" Also, ", ...listed(also), "."] : []),
  ];
}

function found({ word, field }) {
  const isLong = word.length > MAX_LETTERS;
  return [code(isLong ? `${word.slice(0, MAX_LETTERS)}…` : word), ` in the ${plain(field)}`];
}

function listed(parts) {
  const shown = parts.slice(0, MAX_WORDS).flatMap((part, index) => (index > 0 ? [", ", ...part] : part));
  const more = parts.length - MAX_WORDS;
  return more > 0 ? [...shown, `, and ${count.format(more)} more`] : shown;
}
