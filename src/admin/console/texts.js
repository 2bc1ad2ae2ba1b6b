// How the page writes what others wrote: names, values, numbers.

import { h } from "./elements.js";

// What is not seen, or changes how its neighbours are seen: controls, marks of direction, joiners, odd spaces.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/gu;

/** `text` with what is not seen written as JSON would escape it. */
export function plain(text) {
  return String(text ?? "").replace(UNSEEN, (unseen) =>
    unseen.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  );
}

export const code = (text) => h("code", {}, plain(text));

// JSON escapes the line ends within strings, so that each one left is ours.
export const json = (value) => h("pre", {}, JSON.stringify(value, null, 2).split("\n").map(plain).join("\n"));

// A policy alone is called `default`, and then its name says nothing.
export const ruleOf = ({ policy, rule }) => code(policy === "default" ? rule : `${policy} ${rule}`);

/** The name of a row, and whose it is. */
export function what(name, by) {
  return h("span", { className: "what" }, name, " ", h("span", { className: "by" }, plain(by)));
}

export const count = new Intl.NumberFormat();
