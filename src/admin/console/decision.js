// What the engine says of a call, with the steps that led there.

import { $, h } from "./elements.js";
import { code, count, plain } from "./texts.js";

const OUTCOMES = {
  allowed: "Allowed",
  limited: "Allowed within a limit",
  denied: "Denied",
  shadow_denied: "Allowed, would be denied",
  approval_required: "Needs a person",
  hidden: "Hidden",
};
const STEPS = { entry: "Entry", no_entry: "No entry", passed: "Passed", shadow: "In shadow", decided: "Decided" };
// Rules that stand in a policy without being pointers into it.
const PLACED = ["(hidden)", "(default deny)"];
const GOES_ON = ["allowed", "shadow_denied"];

/** What came of something, in a word. */
export function outcome(name) {
  return h("b", { className: `outcome ${plain(name)}` }, OUTCOMES[name] ?? plain(name));
}

/** A rule, which shows where it stands in the policy, if that is in one place. */
export function place(rule, show) {
  if (!rule.startsWith("/") && !PLACED.includes(rule)) return code(rule);
  return h("button", { type: "button", className: "place", onclick: () => show(rule) }, code(rule));
}

let shown;

/** Shows the last of `decisions` on `calls` that are all the same. */
export function showDecision(decisions, calls, show) {
  const key = JSON.stringify([decisions, calls.length]);
  // The same again would be read out again.
  if (key === shown) return;
  shown = key;
  const last = decisions.at(-1);
  const why = calls.length > 0 ? "Nothing is decided while the policy is refused." : "There is no call yet.";
  const nothing = h("p", { className: "empty" }, why);
  $("decision").replaceChildren(...(last ? described(decisions, last, show) : [nothing]));
}

function described(decisions, last, show) {
  if (last.problem !== undefined) {
    // Each line is a problem of its own.
    return last.problem.split("\n").map((problem) => h("p", { className: "alert" }, `No call: ${plain(problem)}`));
  }
  const on = decisions.filter((decision) => GOES_ON.includes(decision.outcome)).length;
  const [total, gone] = [count.format(decisions.length), count.format(on)];
  const steps = last.steps.map(({ kind, at }) => {
    const where = kind === "no_entry" ? code(at) : place(at, show);
    const className = kind === "decided" ? `decided ${plain(last.outcome)}` : "";
    return h("li", { className }, h("span", {}, STEPS[kind] ?? plain(kind)), where);
  });
  return [
    decisions.length > 1 && h("p", { className: "hint" }, `Of ${total} calls ${gone} went on. The last one:`),
    h("p", {}, outcome(last.outcome), ...(last.rule ? [" by ", place(last.rule, show)] : [])),
    last.message && h("p", { className: "said" }, plain(last.message)),
    last.steps.length > 0 && h("ol", { className: "steps", ariaLabel: "Steps" }, ...steps),
  ].filter(Boolean);
}
