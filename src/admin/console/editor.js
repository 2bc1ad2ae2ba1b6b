// A field for a text of many lines, with their numbers and with marks at places of it.
//
// The text area shows the text. A layer beneath it has the same text, unseen and broken into the same lines, and
// carries the numbers and marks; it also gives both their height, so that nothing has to be scrolled in step.

import { h } from "./elements.js";

// The worst first.
const KINDS = ["problem", "warning"];

export class Editor {
  // What stands in the layer: each line's text with its marks.
  #lines = [];
  #marks = [];
  #text = "";

  /** Around `field`, a text area; `changed` is called with the event when a person has changed it. */
  constructor(field, changed) {
    this.field = field;
    this.layer = h("div", { className: "layer", ariaHidden: "true" });
    field.before(this.layer);
    field.addEventListener("input", (event) => {
      this.#shift();
      changed(event);
    });
    this.#shift();
  }

  get text() {
    return this.field.value;
  }

  set text(text) {
    if (text === this.text) return;
    this.field.value = text;
    this.#shift();
  }

  /** Shows these marks, `{start, end, kind}` each; `kind` is `problem` or `warning`. */
  mark(marks) {
    this.#marks = marks;
    this.#show();
  }

  /** Puts the caret there, with that part selected. */
  select(start, end) {
    this.field.focus({ preventScroll: true });
    this.field.setSelectionRange(start, end);
    this.lineAt(start).scrollIntoView({ block: "nearest" });
  }

  /** The layer's element for the line that holds this place. */
  lineAt(place) {
    return this.layer.children[this.#text.slice(0, place).split("\n").length - 1];
  }

  /** The text has changed: marks move with what they are at, and those within the change go. */
  #shift() {
    const [old, text] = [this.#text, this.text];
    const shorter = Math.min(old.length, text.length);
    let head = 0;
    while (head < shorter && old[head] === text[head]) head++;
    let tail = 0;
    while (tail < shorter - head && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
    const by = text.length - old.length;
    this.#marks = this.#marks.flatMap((mark) => {
      if (mark.end <= head) return [mark];
      return mark.start >= old.length - tail ? [{ ...mark, start: mark.start + by, end: mark.end + by }] : [];
    });
    this.#text = text;
    this.#show();
  }

  #show() {
    const texts = this.#text.split("\n");
    const marks = byLine(texts, this.#marks);
    const lines = texts.map((text, index) => lineOf(text, marks[index]));
    const old = this.#lines;
    const shorter = Math.min(old.length, lines.length);
    let head = 0;
    while (head < shorter && old[head].key === lines[head].key) head++;
    let tail = 0;
    while (tail < shorter - head && old.at(-1 - tail).key === lines.at(-1 - tail).key) tail++;
    const { children } = this.layer;
    for (let count = old.length - head - tail; count > 0; count--) children[head].remove();
    const next = children[head] ?? null;
    for (const { pieces, kind } of lines.slice(head, lines.length - tail)) {
      const parts = pieces.map((piece) => (piece.kind ? h("mark", { className: piece.kind }, piece.text) : piece.text));
      this.layer.insertBefore(h("div", { className: `line ${kind}` }, ...parts), next);
    }
    this.#lines = lines;
  }
}

/** Of each line its marks, with places in it. Of a mark over several lines the first line has it. */
function byLine(texts, marks) {
  const found = texts.map(() => []);
  const inOrder = [...marks].sort((a, b) => a.start - b.start);
  let [line, from] = [0, 0];
  for (const { start, end, kind } of inOrder) {
    while (start > from + texts[line].length && line < texts.length - 1) from += texts[line++].length + 1;
    found[line].push({ start: start - from, end: end - from, kind });
  }
  return found;
}

/** A line in pieces, each with the kind of the worst mark on it. */
function lineOf(text, marks) {
  const here = marks
    .sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind))
    .map(({ start: first, end, kind }) => {
      const last = Math.min(end, text.length);
      // Where nothing is, what is missing is marked at what stands before it.
      return { first: last > first ? first : Math.max(last - 1, 0), last, kind };
    });
  const ends = here.flatMap(({ first, last }) => [first, last]);
  const cuts = [...new Set([0, text.length, ...ends])].sort((a, b) => a - b);
  const pieces = cuts.slice(1).map((last, index) => {
    const mark = here.find((one) => one.first <= cuts[index] && last <= one.last);
    return { text: text.slice(cuts[index], last), kind: mark?.kind ?? "" };
  });
  const kind = here[0]?.kind ?? "";
  return { pieces, kind, key: JSON.stringify([kind, pieces]) };
}
