// The policy that is being written: its text, what is wrong with it, and the way back from a change.

import { Editor } from "./editor.js";
import { $, h, sync } from "./elements.js";
import { code, count, plain } from "./texts.js";
import { find, read } from "./tree.js";

const MAX_FINDINGS = 100;
const MAX_UNDO = 200;
// What is typed without such a pause is undone at once.
const PAUSE_MS = 2000;
const DOWNLOAD_MS = 10_000;

export class Draft {
  // Its texts before each change, the latest last.
  #before = [];
  // As it was before what a person is typing now.
  #last;
  #typedAt = -Infinity;

  /** Beginning with `text`. `typed` is called when a person has typed, `changed` when a button has changed it. */
  constructor(text, typed, changed) {
    this.changed = changed;
    this.editor = new Editor($("draft"), (event) => {
      if (event.timeStamp - this.#typedAt > PAUSE_MS) this.#remember(this.#last);
      this.#typedAt = event.timeStamp;
      this.#last = this.text;
      typed();
    });
    this.#last = this.editor.text = text;
    $("undo").onclick = () => this.#undo();
    $("copy").onclick = () => this.#copy();
    $("download").onclick = () => this.#download();
  }

  get text() {
    return this.editor.text;
  }

  /** Changes the text by a function of it, and says so in words. */
  edit(change, words) {
    let text;
    try {
      text = change(this.text);
    } catch (error) {
      this.say(`This cannot be done: ${error.message}`);
      return;
    }
    if (text !== this.text) {
      this.#remember(this.text);
      this.#set(text);
    }
    this.say(words);
    this.changed();
  }

  /** Tells what has been done. */
  say(text) {
    $("draft-news").textContent = plain(text);
  }

  #remember(text) {
    this.#before.push(text);
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    $("undo").disabled = false;
  }

  #set(text) {
    this.#last = this.editor.text = text;
    this.#typedAt = -Infinity;
  }

  #undo() {
    this.#set(this.#before.pop());
    this.say("Undone.");
    // A button that is disabled loses the focus.
    if (this.#before.length === 0) this.editor.field.focus();
    $("undo").disabled = this.#before.length === 0;
    this.changed();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.text);
      this.say("Copied.");
    } catch {
      this.editor.select(0, this.text.length);
      this.say("This browser does not let the page copy; the whole text is selected.");
    }
  }

  #download() {
    const url = URL.createObjectURL(new Blob([`${this.text.trimEnd()}\n`], { type: "application/json" }));
    h("a", { href: url, download: "policy.json" }).click();
    // Some browsers read it only after the click.
    setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_MS);
  }

  /** Shows where a rule stands, one of the `section` ("" for tools) where it says no more. */
  show(rule, section = "") {
    const root = read(this.text);
    const pointer = { "(hidden)": `${section}/hide`, "(default deny)": `${section}/default` }[rule] ?? rule;
    if (!root) return;
    const { start, end } = find(root, pointer);
    this.editor.select(start, end);
  }

  /** Shows what the engine finds in it. */
  showFindings({ problems, warnings, policy }) {
    const all = [
      ...problems.map((finding) => ({ ...finding, kind: "problem", word: "Problem" })),
      ...warnings.map((finding) => ({ ...finding, kind: "warning", word: "Warning" })),
    ];
    this.editor.mark(all);
    this.editor.field.ariaInvalid = problems.length > 0 ? "true" : "false";
    sync($("findings"), all.slice(0, MAX_FINDINGS), JSON.stringify, (finding) => this.#finding(finding));
    const found = [many(problems.length, "problem"), many(warnings.length, "warning")].filter(Boolean).join(", ");
    const valid = policy && `Valid, version ${plain(policy.version)}`;
    const accepted = [valid, found].filter(Boolean).join("; ");
    const verdict = problems.length > 0 ? `${found}: a gateway would refuse it` : accepted;
    const state = $("draft-state");
    // The same words again would be read out again.
    if (state.textContent !== verdict) state.textContent = verdict;
    state.classList.toggle("alert", problems.length > 0);
  }

  #finding({ kind, word, line, column, start, end, pointer, message }) {
    const words = h("span", {}, plain(message), " ", code(pointer || "(document)"));
    const place = h("span", { className: "at" }, h("span", { className: "unseen" }, "line "), `${line}:${column}`);
    const show = () => this.editor.select(start, end);
    return h(
      "li",
      { className: `finding ${kind}` },
      h("button", { type: "button", onclick: show }, h("b", {}, word), place, words),
    );
  }
}

const many = (number, name) => number > 0 && `${count.format(number)} ${name}${number > 1 ? "s" : ""}`;
