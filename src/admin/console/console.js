// The console. It asks the gateway's admin address what waits for a person, what was decided, what is left of each
// limit and which policy is in force, again and again, and shows it.
//
// What it shows was written by whoever calls tools, so it only ever becomes text, with all that is invisible in it made
// visible. What a person holds (focus, a half-written note, an opened box) outlives every refresh, because a list keeps
// the elements of what is still in it (see `sync`), and nothing is pressed that has just moved (see `isSettling`).

import { open } from "./approvals.js";
import { $, h, list, sync } from "./elements.js";
import { keepFresh, start } from "./gateway.js";
import { offerPolicies, openPlayground } from "./playground.js";
import { offerDecisions } from "./recent.js";
import { code, count, json, plain, ruleOf, what } from "./texts.js";
import { span, when } from "./times.js";

const EVERY_MS = 5000;

const OUTCOMES = { allowed: "Allowed", denied: "Denied", shadow_denied: "Would deny", approval_required: "Asked" };

function showDecisions(decisions) {
  list("decisions", decisions, JSON.stringify, (decision) => {
    const target = decision.tool ?? decision.prompt ?? decision.resource;
    return h(
      "li",
      { className: `entry ${plain(decision.outcome)}` },
      h("span", { className: "outcome" }, OUTCOMES[decision.outcome] ?? plain(decision.outcome)),
      what(code(target ?? decision.method), decision.grant),
      when(decision.ts),
      decision.rule && h("span", { className: "detail" }, ruleOf(decision)),
      decision.message && h("span", { className: "detail" }, plain(decision.message)),
      decision.approval && linkTo(decision.approval),
    );
  });
}

function linkTo(id) {
  // A click on the link that the address has already is no change of it.
  const properties = { className: "detail", href: `#${encodeURIComponent(id)}`, onclick: () => open(id) };
  return h("a", properties, "Show its approval");
}

function showLimits(limits) {
  list("limits", limits, JSON.stringify, (limit) => {
    const max = Math.max(limit.limit, 1);
    const name = `${plain(limit.counter)} per ${plain(limit.window)}`;
    const of = limit.scope?.length > 0 ? `each ${plain(limit.scope.join(", "))}` : "everyone";
    const reset = limit.reset_seconds !== null && `, resets in ${span(limit.reset_seconds)}`;
    return h(
      "li",
      { className: limit.remaining > 0 ? "limit" : "limit spent" },
      what(h("b", {}, name), limit.grant ?? of),
      h("span", {}, `${count.format(limit.used)} of ${count.format(limit.limit)}`),
      h("meter", { max, value: limit.used, ariaLabel: `${name}: used` }),
      h("span", { className: "detail" }, `${count.format(limit.remaining)} left`, reset),
      h("span", { className: "detail" }, ruleOf(limit)),
    );
  });
}

function showPolicy({ policies, refused }) {
  list("policies", policies, ({ version, since, name }) => `${version} ${since} ${name}`, (policy) => {
    const about = h("span", { className: "by" }, code(policy.version), " since ", when(policy.since));
    const summary = h("summary", {}, h("b", {}, plain(policy.name)), " ", about);
    return h("li", {}, h("details", {}, summary, json(policy.document)));
  });
  $("refused").hidden = !refused;
  if (!refused) return;
  const title = h("span", {}, "A newer configuration was refused at ", when(refused.at), "; this one stays in force.");
  sync($("refused-title"), [refused.at], String, () => title);
  sync($("problems"), refused.problems, String, (problem) => h("li", {}, code(problem)));
}

keepFresh("v1/decisions", EVERY_MS, ({ decisions }) => {
  showDecisions(decisions);
  offerDecisions(decisions);
});
keepFresh("v1/limits", EVERY_MS, (answer) => showLimits(answer.limits));
keepFresh("v1/policy", EVERY_MS, (answer) => {
  showPolicy(answer);
  offerPolicies(answer.policies);
});

/** Shows the page that the address names: the playground, or else the console. */
function showPage() {
  const isPlayground = location.hash === "#playground";
  $("console").hidden = isPlayground;
  $("playground").hidden = !isPlayground;
  document.querySelectorAll("nav a").forEach((link) => {
    const isHere = (link.hash === "#playground") === isPlayground;
    link.ariaCurrent = isHere ? "page" : null;
  });
  if (isPlayground) openPlayground();
}

window.addEventListener("hashchange", () => {
  showPage();
  open(location.hash.slice(1));
});

showPage();
start();
