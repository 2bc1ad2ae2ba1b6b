// The tools of a list: what the policy says of each, and the choice to let it say something else.

import { CHOICES, WINDOWS, choose, limit, stateOf } from "./choices.js";
import { outcome, place } from "./decision.js";
import { $, h, list, sync } from "./elements.js";
import { Risk, chosen } from "./risk.js";
import { code, count, plain } from "./texts.js";
import { named, read, within } from "./tree.js";

const MAX_DESCRIPTION = 160;

// The rows on the page.
const rows = new Map();

/**
 * Shows those of `all`, the engine's `tools` under the policy `text`, that a person wants to see. `edit` is given a
 * function from the policy's text to another one, and in words what it does; `show` a rule that is to be shown in the
 * text.
 */
export function showTools(all, text, { edit, show }) {
  const root = read(text);
  const tools = chosen(all);
  list("tools", tools, (tool) => tool.name, ({ name }) => {
    const row = new Row(name, edit, show);
    rows.set(row.element, row);
    return row.element;
  });
  for (const element of rows.keys()) if (!element.isConnected) rows.delete(element);
  [...$("tools").children].forEach((element, index) => rows.get(element).update(tools[index], root));
  const total = all.length > 0 ? count.format(all.length) : "";
  $("tools-count").textContent = tools.length < all.length ? `${count.format(tools.length)} of ${total}` : total;
  $("tools-empty").textContent = all.length > 0 ? "No tool is of this severity." : "No tools are loaded.";
}

let groups = 0;

class Row {
  constructor(name, edit, show) {
    const group = `tool-${groups++}`;
    const shown = plain(name);
    const set = (which, value) => edit((text) => limit(text, name, which, value), `Limit for ${name}.`);
    this.show = show;
    this.radios = Object.keys(CHOICES).map((value) => {
      const words = () => `${CHOICES[value]} for ${name}.${this.#leaves()}`;
      const onchange = () => edit((text) => choose(text, name, value), words());
      return h("input", { type: "radio", name: group, value, onchange });
    });
    const labels = this.radios.map((radio) => h("label", {}, radio, CHOICES[radio.value]));
    const legend = h("legend", { className: "unseen" }, `What becomes of ${shown}`);
    this.choice = h("fieldset", {}, legend, h("div", { className: "choice" }, ...labels));
    this.max = h("input", { type: "number", min: 0, step: "any", ariaLabel: `At most so many calls of ${shown}` });
    this.max.onchange = () => this.max.checkValidity() && this.max.value && set("max", this.max.valueAsNumber);
    this.window = h("select", { ariaLabel: `In each, for ${shown}` });
    this.window.onchange = () => set("window", windowOf(this.window.value));
    this.rate = h("div", { className: "rate" }, "at most", this.max, "each", this.window);
    this.note = h("p", { className: "about" });
    this.about = h("p", { className: "about" });
    this.risk = new Risk();
    this.now = h("p", { className: "now" });
    const heading = h("p", { className: "what" }, code(name));
    const controls = h("div", {}, this.choice, this.rate, this.note);
    const tool = h("div", {}, heading, this.risk.element, this.about);
    this.element = h("li", { className: "tool" }, tool, this.now, controls);
  }

  update(tool, root) {
    const about = [tool.title, tool.description].filter(Boolean).join(": ");
    const isLong = about.length > MAX_DESCRIPTION;
    this.about.textContent = plain(isLong ? `${about.slice(0, MAX_DESCRIPTION)}…` : about);
    this.risk.show(tool.risk);
    this.now.replaceChildren(...this.#says(tool));

    // While the policy is refused nobody says which entry applies, unless one has the tool's own name.
    const key = tool.entry ? named(tool.entry) : tool.outcome ? undefined : tool.name;
    this.shared = key === tool.name ? undefined : key;
    const { choice, hasRules, hiddenBy, limit: own } = root ? stateOf(root, tool.name, key) : {};
    const isHiddenWithOthers = hiddenBy !== undefined && hiddenBy !== tool.name;
    for (const radio of this.radios) radio.checked = radio.value === choice;
    const isPattern = /[*?]/.test(tool.name);
    this.choice.disabled = !root || isHiddenWithOthers || isPattern;
    this.note.replaceChildren();
    if (!root) this.note.append("The policy is no JSON yet, so nothing can be chosen.");
    else if (isPattern) this.note.append("A policy would read this name as a pattern, so nothing can be chosen.");
    else if (isHiddenWithOthers) this.note.append("Hidden with others by ", this.#pattern(hiddenBy));
    else if (hasRules) this.note.append("It has rules of its own; a choice replaces them.");
    else if (!choice) this.note.append("Not known while the policy is refused.");
    else if (this.shared !== undefined) this.note.append("By ", place(tool.entry, this.show));

    this.rate.hidden = !own;
    if (own) this.#showRate(own);
  }

  /** One entry applies, never two. */
  #leaves() {
    return this.shared === undefined ? "" : ` The entry ${this.shared} does not apply to it any more.`;
  }

  #says({ outcome: name, rule, listed, conditional, shadow }) {
    if (!name) return [];
    // Of what is hidden, that says it all.
    if (name === "hidden" && !shadow) return [outcome(name)];
    const more = [shadow && ", in shadow mode", conditional && ", if rules let it", !listed && ", not listed"];
    return [outcome(name), ...more.filter(Boolean), ...(rule ? [" by ", place(rule, this.show)] : [])];
  }

  #pattern(hiddenBy) {
    return place(within("/hide", hiddenBy), this.show);
  }

  #showRate({ max, window }) {
    if (document.activeElement !== this.max) this.max.value = max;
    const windows = WINDOWS.includes(window) ? WINDOWS : [...WINDOWS, window];
    sync(this.window, windows, String, (value) => h("option", { value }, nameOf(value)));
    this.window.value = window;
  }
}

// Others than those that have a name are numbers of seconds.
const nameOf = (window) => (Number.isInteger(window) ? `${window} seconds` : plain(window));
const windowOf = (text) => (/^\d+$/.test(text) ? Number(text) : text);
