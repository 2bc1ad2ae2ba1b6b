// The console. It asks the gateway's admin address what waits for a person, what was decided, what is left of each
// limit and which policy is in force, again and again, and shows it.
//
// What it shows was written by whoever calls tools, so it only ever becomes text, with all that is invisible in it made
// visible. What a person holds (focus, a half-written note, an opened box) outlives every refresh: a list keeps the
// elements of what is still in it (see `sync`), and nothing moves below a finger that is about to press (see `isSettling`).

const APPROVALS_EVERY_MS = 2000;
const REST_EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 10_000;
const TOKEN = "mcp-policy.token";

const $ = (id) => document.getElementById(id);

// Elements

/** An element with these properties and children. Strings become text, and what is undefined is left out. */
function h(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/**
 * Makes `parent` hold one element for each item, in this order. Those that are there already stay the same elements and
 * are not moved, because that would take the focus from them.
 */
function sync(parent, items, keyOf, make) {
  const old = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  const seen = new Map();
  const elements = items.map((item) => {
    const key = keyOf(item);
    const count = seen.get(key) ?? 0;
    seen.set(key, count + 1);
    const unique = `${count} ${key}`;
    const element = old.get(unique) ?? make(item);
    element.dataset.key = unique;
    old.delete(unique);
    return element;
  });
  for (const element of old.values()) element.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

/** Shows a list, or that it is empty. */
function list(name, items, keyOf, make) {
  sync($(name), items, keyOf, make);
  $(`${name}-empty`).hidden = items.length > 0;
}

// Texts

// What is not seen, or changes how its neighbours are seen: controls, marks of direction, joiners, odd spaces.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/gu;

/** `text` with what is not seen written as JSON would escape it. */
function plain(text) {
  return String(text ?? "").replace(UNSEEN, (unseen) =>
    unseen.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  );
}

const code = (text) => h("code", {}, plain(text));

// JSON escapes the line ends within strings, so that each one left is ours.
const json = (value) => h("pre", {}, JSON.stringify(value, null, 2).split("\n").map(plain).join("\n"));

// A policy alone is called `default`, and then its name says nothing.
const ruleOf = ({ policy, rule }) => code(policy === "default" ? rule : `${policy} ${rule}`);

const count = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

/** When that was: the time, with the date unless it is today's. */
function when(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("time", {}, plain(text));
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { dateTime: text, title: plain(text) }, (isToday ? clock : calendar).format(date));
}

function span(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

// How far the gateway's clock is ahead of this one. Its answers say so to the second, so small differences are none.
let aheadMs = 0;

function learnClock(response) {
  const difference = Date.parse(response.headers.get("date") ?? "") - Date.now();
  if (Math.abs(difference - aheadMs) > 2000) aheadMs = difference;
}

/** The time until then, which ticks. */
function countdown(until, words, after) {
  const element = h("time", { className: "countdown", dateTime: until });
  Object.assign(element.dataset, { words, after });
  tick(element);
  return element;
}

function tick(element) {
  const seconds = Math.ceil((Date.parse(element.dateTime) - Date.now() - aheadMs) / 1000);
  element.textContent = seconds > 0 ? `${span(seconds)} ${element.dataset.words}` : element.dataset.after;
  element.classList.toggle("soon", seconds <= 60);
}

setInterval(() => document.querySelectorAll(".countdown").forEach(tick), 1000);

// The gateway

let token = sessionStorage.getItem(TOKEN) ?? "";

/** No answer. */
class Lost extends Error {}

/** An answer that is not what was asked for. */
class Refusal extends Error {
  constructor(response, body) {
    super(plain(body?.error?.message ?? `The gateway's answer has status ${response.status} and cannot be read.`));
    this.status = response.status;
    this.code = body?.error?.code;
    this.retryAfter = response.headers.get("retry-after");
  }
}

/** What `path` answers; with a `body` it is posted there. */
async function api(path, body, as = token) {
  const response = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { authorization: `Bearer ${as}`, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  }).catch(() => {
    throw new Lost("The gateway does not answer.");
  });
  learnClock(response);
  const answer = await response.json().catch(() => undefined);
  if (response.ok && answer) return answer;
  if (response.status === 401 && as === token) signOut("The gateway does not accept this token any more.");
  throw new Refusal(response, answer);
}

// Views that do not get what they ask for, with the reason.
const failing = new Map();
let lastAnswer = new Date();

function showConnection() {
  const errors = [...failing.values()];
  const isLost = errors.some((error) => error instanceof Lost);
  const text = isLost ? `Connection lost at ${clock.format(lastAnswer)}, trying again` : errors[0]?.message ?? "Live";
  const state = !token ? "" : errors.length > 0 ? "lost" : "live";
  const connection = $("connection");
  connection.className = state;
  // The same words again would be read out again.
  if (connection.textContent !== (state && text)) connection.textContent = state && text;
}

/** A function that asks now, and from then on regularly while the page is visible. */
function keepFresh(path, every, show) {
  let timer;
  let isAsking = false;
  return async function ask() {
    if (isAsking || document.hidden || !token) return;
    isAsking = true;
    clearTimeout(timer);
    try {
      show(await api(path));
      lastAnswer = new Date();
      failing.delete(path);
    } catch (error) {
      if (error.status === 401) failing.delete(path);
      else failing.set(path, error);
    }
    isAsking = false;
    showConnection();
    timer = setTimeout(ask, every);
  };
}

const askApprovals = keepFresh("v1/approvals", APPROVALS_EVERY_MS, (answer) => showApprovals(answer.approvals));
const views = [
  askApprovals,
  keepFresh("v1/decisions", REST_EVERY_MS, (answer) => showDecisions(answer.decisions)),
  keepFresh("v1/limits", REST_EVERY_MS, (answer) => showLimits(answer.limits)),
  keepFresh("v1/policy", REST_EVERY_MS, showPolicy),
];
const askAll = () => views.forEach((ask) => ask());

document.addEventListener("visibilitychange", askAll);

// The token

function signOut(message) {
  token = "";
  sessionStorage.removeItem(TOKEN);
  $("token-error").textContent = message;
  showSignIn();
}

// What is on the page stays there when a token stops being accepted, and with it what was typed.
function showSignIn() {
  $("sign-in").hidden = token !== "";
  $("forget").hidden = token === "";
  if (token) $("panels").hidden = false;
  showConnection();
}

async function signIn(candidate) {
  // Others cannot be sent in a header.
  if (!/^[\x21-\x7e]+$/.test(candidate)) throw new Error("A token has no spaces and only ASCII characters.");
  try {
    await api("v1/approvals", undefined, candidate);
  } catch (error) {
    const wait = error.status === 429 && error.retryAfter ? ` Try again in ${plain(error.retryAfter)} s.` : "";
    throw new Error(error.status === 401 ? "The gateway does not accept this token." : error.message + wait);
  }
  token = candidate;
  sessionStorage.setItem(TOKEN, token);
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [field, button] = [$("token"), $("sign-in").querySelector("button")];
  $("token-error").textContent = "";
  button.disabled = true;
  try {
    await signIn(field.value.trim());
    field.value = "";
    showSignIn();
    $("pending-title").focus();
    askAll();
  } catch (error) {
    $("token-error").textContent = error.message;
    field.focus();
  }
  button.disabled = false;
});

$("forget").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  // Nothing of what was shown stays behind.
  location.reload();
});

// Approvals

const STATES = { pending: "Waiting", approved: "Approved", denied: "Denied", used: "Used", expired: "Expired", gone: "Gone" };

let approvals = [];
// Decided on this page: an answer that was on its way meanwhile may still call it pending.
const decidedHere = new Map();
// Seen to be waiting, so that each is announced once.
const announced = new Set();
// The cards on the page by their approval's id.
const cards = new Map();
let lastShift = 0;

/** The cards have just moved: what is pressed now may not be what was aimed at. */
const isSettling = (event) => event.timeStamp - lastShift < 400 || event.detail > 1;

const isWaiting = (approval) => approval.state === "pending";

function showApprovals(all) {
  approvals = all.map((approval) => (isWaiting(approval) ? decidedHere.get(approval.id) ?? approval : approval));
  const known = new Set(approvals.map((approval) => approval.id));
  // What a person is busy with stays, even if somebody else decides it or its place is given to another call.
  const gone = [...cards.values()].filter((card) => !known.has(card.approval.id)).map((card) => ({ ...card.approval, state: "gone" }));
  const shown = [...approvals, ...gone].filter((approval) => isWaiting(approval) || cards.get(approval.id)?.isInHand());
  // The oldest first: what is new comes last and moves nothing, and what has the least time left is on top.
  shown.sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at));
  const before = $("pending").childElementCount;
  list("pending", shown, (approval) => approval.id, makeCard);
  for (const id of [...cards.keys()]) if (!$("pending").contains(cards.get(id).element)) cards.delete(id);
  for (const approval of shown) cards.get(approval.id).update(approval);
  if ($("pending").childElementCount < before) lastShift = performance.now();

  const settled = approvals.filter((approval) => !shown.includes(approval));
  $("settled-box").hidden = settled.length === 0;
  $("settled-count").textContent = settled.length;
  sync($("settled"), settled, (approval) => JSON.stringify(approval), makeSettled);

  const waiting = shown.filter(isWaiting);
  $("pending-count").textContent = waiting.length || "";
  document.title = waiting.length > 0 ? `(${waiting.length}) mcp-policy` : "mcp-policy";
  announce(waiting);
  followLink();
}

function announce(waiting) {
  const fresh = waiting.filter((approval) => !announced.has(approval.id));
  for (const approval of fresh) announced.add(approval.id);
  const [one] = fresh;
  if (fresh.length === 1) say(`New: ${one.target}, asked for by ${one.grant}`);
  if (fresh.length > 1) say(`${fresh.length} new calls wait`);
}

function say(text) {
  $("news").textContent = plain(text);
}

function facts(...pairs) {
  const shown = pairs.filter(([, value]) => value);
  return h("dl", {}, ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, code(value)))));
}

function argumentsOf(approval) {
  if (approval.arguments_cut) return h("p", { className: "alert" }, "The arguments are too long to be shown here.");
  if (!approval.arguments) return h("p", { className: "hint" }, "Without arguments.");
  const block = json(approval.arguments);
  block.ariaLabel = "Arguments";
  block.role = "group";
  return block;
}

/** The element for one call that waits; it is also entered into `cards`. */
function makeCard(approval) {
  const { id } = approval;
  const title = h("h3", { id: `title-${id}`, tabIndex: -1 }, code(approval.target));
  const note = h("input", { id: `note-${id}`, maxLength: 500, autocomplete: "off" });
  const approve = h("button", { type: "button", className: "primary", ariaLabel: `Approve ${plain(approval.target)}` }, "Approve");
  const deny = h("button", { type: "button", ariaLabel: `Deny ${plain(approval.target)}` }, "Deny");
  const dismiss = h("button", { type: "button", hidden: true }, "Dismiss");
  const left = countdown(approval.expires_at, "left", "Time is up");
  const message = h("p", { className: "message", role: "status" });
  const label = h("label", { htmlFor: note.id }, "Note to the agent (optional)");
  const decide = h("div", { className: "row decide" }, note, approve, deny, dismiss);
  const element = h(
    "li",
    { id, className: "box card" },
    h("div", { className: "head" }, title, left),
    h("p", { className: "who" }, h("b", {}, plain(approval.grant)), ` asks for ${plain(approval.method)} since `, when(approval.created_at)),
    h("p", { className: "reason" }, plain(approval.reason)),
    argumentsOf(approval),
    facts(
      ["Rule", approval.rule],
      ["Policy", `${approval.policy} ${approval.policy_version}`],
      ["Session", approval.session],
      ["Approval", id],
    ),
    label,
    decide,
    message,
  );
  element.setAttribute("aria-labelledby", title.id);

  const card = {
    element,
    approval,
    isDismissed: false,
    isInHand: () => !card.isDismissed && !decidedHere.has(id) && (note.value !== "" || element.contains(document.activeElement)),
    focus: () => title.focus(),
    tell(text, isAlert) {
      message.textContent = plain(text);
      message.classList.toggle("alert", isAlert);
    },
    busy(isBusy) {
      approve.disabled = deny.disabled = isBusy;
      note.readOnly = isBusy;
    },
    /** Only its state can have changed: all else is what the approval is bound to. */
    update(approval) {
      if (approval.state === card.approval.state) return;
      card.approval = approval;
      if (isWaiting(approval)) return;
      const hadButton = document.activeElement === approve || document.activeElement === deny;
      card.busy(true);
      approve.hidden = deny.hidden = left.hidden = true;
      dismiss.hidden = false;
      if (hadButton) dismiss.focus();
      card.tell(fate(approval), true);
    },
  };

  async function press(verb, button) {
    card.busy(true);
    card.tell(verb === "approve" ? "Approving…" : "Denying…", false);
    try {
      const text = note.value.trim();
      const path = `v1/approvals/${encodeURIComponent(id)}`;
      const settled = await api(`${path}/${verb}`, text ? { note: text } : {});
      decidedHere.set(id, settled);
      const next = element.nextElementSibling ?? element.previousElementSibling;
      showApprovals(approvals);
      (cards.get(next?.id) ?? { focus: () => $("pending-title").focus() }).focus();
      say(`${STATES[settled.state] ?? settled.state}: ${approval.target}, asked for by ${approval.grant}`);
    } catch (error) {
      const isOver = await learnFate(error);
      if (isOver) return;
      card.busy(false);
      card.tell(error instanceof Lost ? "No answer, so nobody knows whether this counts. Try again." : error.message, true);
      if (document.activeElement === document.body) button.focus();
    }
  }

  /** Shows what became of an approval that could not be decided any more; false when it could be tried again. */
  async function learnFate(error) {
    if (!["already_decided", "expired", "unknown"].includes(error.code)) return false;
    const now = await api(`v1/approvals/${encodeURIComponent(id)}`).catch(() => undefined);
    const state = { already_decided: "used", expired: "expired", unknown: "gone" }[error.code];
    if (!now) card.update({ ...approval, state });
    else card.update(isWaiting(now) ? { ...now, state } : now);
    if (!now) card.tell(error.message, true);
    if (document.activeElement === document.body) dismiss.focus();
    return true;
  }

  approve.addEventListener("click", (event) => isSettling(event) || press("approve", approve));
  deny.addEventListener("click", (event) => isSettling(event) || press("deny", deny));
  dismiss.addEventListener("click", () => {
    card.isDismissed = true;
    showApprovals(approvals);
    $("pending-title").focus();
  });
  cards.set(id, card);
  return element;
}

/** What became of it without this page. */
function fate({ state, note }) {
  if (state === "expired") return "Expired: nobody decided in time.";
  if (state === "gone") return "The gateway does not know this approval any more.";
  const how = state === "used" ? "approved, and used" : state;
  return `Already ${how}, not on this page.${note ? ` The note: ${note}` : ""}`;
}

function makeSettled(approval) {
  const use = approval.state === "approved" ? countdown(approval.expires_at, "left to use it", "not used") : undefined;
  return h(
    "li",
    { id: approval.id, tabIndex: -1, className: `entry ${plain(approval.state)}` },
    h("span", { className: "outcome" }, STATES[approval.state] ?? plain(approval.state)),
    h("span", { className: "what" }, code(approval.target), " ", h("span", { className: "by" }, plain(approval.grant))),
    when(approval.created_at),
    approval.note ? h("q", { className: "detail" }, plain(approval.note)) : undefined,
    use && h("span", { className: "detail" }, use),
  );
}

// The approval that the address names, until it has been shown.
let link = location.hash.slice(1);

function followLink() {
  const id = link;
  link = "";
  if (!id.startsWith("ap_")) return;
  const element = $(id);
  document.querySelectorAll(".linked").forEach((other) => other.classList.remove("linked"));
  if (!element) {
    say(`The gateway does not know the approval ${id}.`);
    $("pending-title").focus();
    return;
  }
  if ($("settled").contains(element)) $("settled-box").open = true;
  element.classList.add("linked");
  (cards.get(id) ?? element).focus();
  element.scrollIntoView({ block: "nearest" });
}

function open(id) {
  link = id;
  askApprovals();
}

window.addEventListener("hashchange", () => open(location.hash.slice(1)));

// Decisions, limits and the policy

const OUTCOMES = { allowed: "Allowed", denied: "Denied", shadow_denied: "Would deny", approval_required: "Asked" };

function showDecisions(decisions) {
  list("decisions", decisions, JSON.stringify, (decision) => {
    const target = decision.tool ?? decision.prompt ?? decision.resource;
    return h(
      "li",
      { className: `entry ${plain(decision.outcome)}` },
      h("span", { className: "outcome" }, OUTCOMES[decision.outcome] ?? plain(decision.outcome)),
      h("span", { className: "what" }, code(target ?? decision.method), " ", h("span", { className: "by" }, plain(decision.grant))),
      when(decision.ts),
      decision.rule ? h("span", { className: "detail rule" }, ruleOf(decision)) : undefined,
      decision.message ? h("span", { className: "detail" }, plain(decision.message)) : undefined,
      decision.approval ? linkTo(decision.approval) : undefined,
    );
  });
}

function linkTo(id) {
  // A click on the link that the address has already is no change of it.
  return h("a", { className: "detail", href: `#${encodeURIComponent(id)}`, onclick: () => open(id) }, "Show its approval");
}

function showLimits(limits) {
  list("limits", limits, JSON.stringify, (limit) => {
    const max = Math.max(limit.limit, 1);
    const name = `${plain(limit.counter)} per ${plain(limit.window)}`;
    const of = limit.scope?.length > 0 ? `each ${plain(limit.scope.join(", "))}` : "everyone";
    const reset = limit.reset_seconds === null ? undefined : `, resets in ${span(limit.reset_seconds)}`;
    return h(
      "li",
      { className: limit.remaining > 0 ? "limit" : "limit spent" },
      h("span", { className: "what" }, h("b", {}, name), " ", h("span", { className: "by" }, plain(limit.grant ?? of))),
      h("span", {}, `${count.format(limit.used)} of ${count.format(limit.limit)}`),
      h("meter", { max, value: limit.used, ariaLabel: `${name}: used` }),
      h("span", { className: "detail" }, `${count.format(limit.remaining)} left`, reset),
      h("span", { className: "detail rule" }, ruleOf(limit)),
    );
  });
}

function showPolicy({ policies, refused }) {
  list("policies", policies, (policy) => `${policy.version} ${policy.since} ${policy.name}`, (policy) => {
    const about = h("span", { className: "by" }, code(policy.version), " since ", when(policy.since));
    return h("li", {}, h("details", {}, h("summary", {}, h("b", {}, plain(policy.name)), " ", about), json(policy.document)));
  });
  $("refused").hidden = !refused;
  if (!refused) return;
  const title = h("span", {}, "A newer configuration was refused at ", when(refused.at), "; this one stays in force.");
  sync($("refused-title"), [refused.at], String, () => title);
  sync($("problems"), refused.problems, String, (problem) => h("li", {}, code(problem)));
}

showSignIn();
if (token) askAll();
else $("token").focus();
