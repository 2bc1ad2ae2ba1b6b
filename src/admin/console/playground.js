// The playground: a policy, a call and a list of tools, and what the gateway's engine says of them as they are typed.
//
// All of it stays in this page. What is pasted may have been written by anybody, so it only ever becomes text.

import { showTools } from "./builder.js";
import { showDecision } from "./decision.js";
import { Draft } from "./draft.js";
import { pretty } from "./edits.js";
import { Editor } from "./editor.js";
import { $, h, sync } from "./elements.js";
import { ask, load, restart } from "./engine.js";
import { CALL, EMPTY, POLICY, TOOLS } from "./examples.js";
import { apiText } from "./gateway.js";
import { PLACEHOLDER, shapeOf } from "./recent.js";
import { plain } from "./texts.js";
import { member, read } from "./tree.js";

const PAUSE_MS = 150;
const MAX_TIMES = 1000;
const MAX_FILE_BYTES = 8 << 20;
// Of tools that something is said of.
const MAX_NAMES = 10;

let draft;
let call;
let isReady = false;

/** Shows the playground, which begins with the example. */
export async function openPlayground() {
  if (!draft) {
    $("tools-text").value = TOOLS;
    call = new Editor($("call"), soon);
    call.text = CALL;
    draft = new Draft(POLICY, soon, check);
    offerStarts();
  }
  await prepare(load);
  check();
}

async function prepare(start) {
  isReady = false;
  try {
    await start();
    isReady = true;
  } catch (error) {
    $("engine").textContent = `The engine cannot be loaded: ${plain(error.message)}`;
  }
}

// What is judged

let timer;

/** Judges what is there once a person pauses. */
function soon() {
  clearTimeout(timer);
  setBusy(true);
  timer = setTimeout(check, PAUSE_MS);
}

/** What is shown is not yet about what is there. */
function setBusy(isBusy) {
  $("playground").ariaBusy = String(isBusy);
}

function check() {
  clearTimeout(timer);
  if (!isReady) return;
  setBusy(false);
  const times = Math.min(Math.max(Math.trunc($("times").valueAsNumber) || 1, 1), MAX_TIMES);
  // What is half of a character is none in JSON.
  const [one, tools] = [call.text.toWellFormed(), $("tools-text").value.toWellFormed()];
  const calls = one.trim() ? Array(times).fill(one) : [];
  const answer = judge({ policy: draft.text.toWellFormed(), calls, ...(tools.trim() && { tools }) });
  if (!answer) return;
  draft.showFindings(answer);
  showDecision(answer.decisions, calls, (rule) => draft.show(rule, sectionOf(call.text)));
  const { tools_problem: problem } = answer;
  $("tools-problem").textContent = problem ? `This is no list of tools: ${plain(problem)}` : "";
  const edit = (change, words) => draft.edit(change, words);
  showTools(answer.tools, draft.text, { edit, show: (rule) => draft.show(rule) });
}

/** What the engine answers, unless it fails. */
function judge(request) {
  try {
    const answer = ask(request);
    $("engine").textContent = "";
    return answer;
  } catch (error) {
    $("engine").textContent = `The engine failed: ${plain(error.message)}`;
    // It may be in any state now. The next change is for a new one.
    prepare(restart);
    return undefined;
  }
}

function sectionOf(text) {
  const root = read(text);
  return ["prompt", "resource"].filter((name) => member(root, name)).map((name) => `/${name}s`)[0];
}

$("times").addEventListener("input", soon);
$("tools-text").addEventListener("input", soon);
$("tools-order").addEventListener("change", check);
$("tools-severity").addEventListener("change", check);

$("tools-file").addEventListener("change", async ({ target: { files } }) => {
  const [file] = files;
  if (!file) return;
  setBusy(true);
  if (file.size > MAX_FILE_BYTES) {
    $("tools-text").value = "";
    check();
    $("tools-problem").textContent = "This file is too large for a list of tools.";
    return;
  }
  $("tools-text").value = await file.text();
  check();
});

// What a policy may start from

let policies = [];

/** Lets a person start from these policies, which are in force. */
export function offerPolicies(inForce) {
  policies = inForce.filter((policy) => policy.document).map((policy) => policy.name);
  offerStarts();
}

function offerStarts() {
  const starts = [
    { value: "example", text: "The example" },
    { value: "empty", text: "An empty policy" },
    ...policies.map((name) => ({ value: `:${name}`, text: `In force: ${plain(name)}` })),
  ];
  sync($("start"), starts, ({ value }) => value, ({ value, text }) => h("option", { value }, text));
}

$("start-load").addEventListener("click", async () => {
  const { value } = $("start");
  draft.say("");
  try {
    const text = { example: POLICY, empty: EMPTY }[value] ?? (await inForce(value.slice(1)));
    draft.edit(() => text, "Started anew. Undo brings back what was here.");
  } catch (error) {
    draft.say(error.message);
  }
});

$("starter").addEventListener("click", () => {
  const tools = $("tools-text").value.toWellFormed();
  const answer = isReady && judge({ policy: "", tools, starter: true, pin: $("starter-pin").checked });
  if (!answer?.starter) {
    check();
    return;
  }
  const { policy, denied, unpinned } = answer.starter;
  const words = [
    "Started from the list. Undo brings back what was here.",
    denied.length > 0 && `Denied, because no policy can name or judge them: ${someOf(denied)}.`,
    unpinned.length > 0 && `Not pinned, because their definition has no single reading: ${someOf(unpinned)}.`,
  ];
  draft.edit(() => policy.trimEnd(), words.filter(Boolean).join(" "));
});

function someOf(names) {
  const more = names.length - MAX_NAMES;
  return names.slice(0, MAX_NAMES).join(", ") + (more > 0 ? `, and ${more} more` : "");
}

/** The text of the policy that is in force under this name, all its digits kept. */
async function inForce(name) {
  const text = await apiText("v1/policy");
  const all = member(read(text), "policies").elements;
  const found = all.find((policy) => member(policy, "name")?.value === name);
  if (!found) throw new Error("This policy is not in force any more.");
  return pretty(text, member(found, "document"));
}

$("recent-use").addEventListener("click", () => {
  const shape = shapeOf($("recent").value);
  if (!shape) return;
  call.text = shape;
  const first = shape.indexOf(PLACEHOLDER);
  call.select(Math.max(first, 0), first < 0 ? shape.length : first + PLACEHOLDER.length);
  check();
});
