// The console. It asks the gateway's admin address what waits for a person, what was decided, what is left of each
// limit and which policy is in force, again and again, and shows it.
//
// What it shows was written by whoever calls tools, so it only ever becomes text, with all that is invisible in it made
// visible. What a person holds (focus, a half-written note, an opened box) outlives every refresh, because a list keeps
// the elements of what is still in it (see `sync`), and nothing is pressed that has just moved (see `isSettling`).

const APPROVALS_EVERY_MS = 2000;
const REST_EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 10_000;
const TOKEN = "mcp-policy.token";

const $ = (id) => document.getElementById(id);

// Elements

/** An element with these properties and children. Strings become text, and what is falsy is left out. */
function h(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter(Boolean));
  return element;
}

// What each element of a list stands for.
const keys = new WeakMap();

/**
 * Makes `parent` hold one element for each item, in this order. Those that are there already stay the same elements and
 * are not moved, because that would take the focus from them.
 */
function sync(parent, items, keyOf, make) {
  const old = new Map([...parent.children].map((element) => [keys.get(element), element]));
  const used = new Set();
  const elements = items.map((item) => {
    let key = keyOf(item);
    // Two decisions can be alike.
    while (used.has(key)) key += "+";
    used.add(key);
    const element = old.get(key) ?? make(item);
    keys.set(element, key);
    old.delete(key);
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

/** The name of a row, and whose it is. */
const what = (name, by) => h("span", { className: "what" }, name, " ", h("span", { className: "by" }, plain(by)));

const count = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

/** When that was: the time, with the date unless it is today's. */
function when(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("time", {}, plain(text));
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { dateTime: text, title: text }, (isToday ? clock : calendar).format(date));
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
  let text = isLost ? `Connection lost at ${clock.format(lastAnswer)}, trying again` : errors[0]?.message ?? "Live";
  if (!token) text = $("panels").hidden ? "" : "Signed out";
  const connection = $("connection");
  connection.className = text === "Live" ? "live" : "lost";
  // The same words again would be read out again.
  if (connection.textContent !== text) connection.textContent = text;
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

const STATES = { approved: "Approved", denied: "Denied", used: "Used", expired: "Expired" };
// Errors by which nobody can decide it any more, and what state that is, if no more is known.
const OVER = { already_decided: "decided", expired: "expired", unknown: "gone" };

let approvals = [];
// Decided on this page: an answer that was on its way meanwhile may still call it pending.
const decidedHere = new Map();
// Seen to be waiting, so that each is announced once.
const announced = new Set();
// The cards on the page by their approval's id.
const cards = new Map();
let lastShift = 0;

/** The cards have just moved: what a pointer presses may not be what was aimed at. Keys (detail 0) cannot miss. */
const isSettling = ({ detail, timeStamp }) => detail > 1 || (detail === 1 && timeStamp - lastShift < 400);

const isWaiting = (approval) => approval.state === "pending";

function showApprovals(answer) {
  approvals = answer.map((approval) => (isWaiting(approval) ? decidedHere.get(approval.id) ?? approval : approval));
  const known = new Set(approvals.map((approval) => approval.id));
  // What a person is busy with stays, even if somebody else decides it or its place is given to another call.
  const gone = [...cards.values()].map((card) => card.approval).filter((approval) => !known.has(approval.id));
  const all = [...approvals, ...gone.map((approval) => ({ ...approval, state: "gone" }))];
  const shown = all.filter((approval) => isWaiting(approval) || cards.get(approval.id)?.isInHand());
  // The oldest first: what is new comes last and moves nothing, and what has the least time left is on top.
  shown.sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at));
  const before = $("pending").childElementCount;
  list("pending", shown, (approval) => approval.id, (approval) => {
    const card = new Card(approval);
    cards.set(approval.id, card);
    return card.element;
  });
  for (const [id, card] of cards) if (!card.element.isConnected) cards.delete(id);
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

/** One call that waits. */
class Card {
  // An answer is on its way.
  isDeciding = false;
  isDismissed = false;

  constructor(approval) {
    const { id, target } = approval;
    const name = plain(target);
    this.approval = approval;
    this.title = h("h3", { id: `title-${id}`, tabIndex: -1 }, code(target));
    this.left = countdown(approval.expires_at, "left", "Time is up");
    // The gateway keeps 1024 bytes of a note, which so many letters never exceed.
    this.note = h("input", { id: `note-${id}`, maxLength: 341, autocomplete: "off" });
    this.approve = h("button", { type: "button", className: "primary", ariaLabel: `Approve ${name}` }, "Approve");
    this.deny = h("button", { type: "button", ariaLabel: `Deny ${name}` }, "Deny");
    this.dismiss = h("button", { type: "button", hidden: true }, "Dismiss");
    this.message = h("p", { className: "message", role: "status" });
    const asks = ` asks for ${plain(approval.method)} since `;
    this.element = h(
      "li",
      { id, className: "box card" },
      h("div", { className: "head" }, this.title, this.left),
      h("p", { className: "who" }, h("b", {}, plain(approval.grant)), asks, when(approval.created_at)),
      h("p", {}, plain(approval.reason)),
      argumentsOf(approval),
      facts(
        ["Rule", approval.rule],
        ["Policy", `${approval.policy} ${approval.policy_version}`],
        ["Session", approval.session],
        ["Approval", id],
      ),
      h("label", { htmlFor: this.note.id }, "Note to the agent (optional)"),
      h("div", { className: "row decide" }, this.note, this.approve, this.deny, this.dismiss),
      this.message,
    );
    this.element.setAttribute("aria-labelledby", this.title.id);
    this.approve.onclick = (event) => isSettling(event) || this.decide("approve", "Approving…");
    this.deny.onclick = (event) => isSettling(event) || this.decide("deny", "Denying…");
    this.dismiss.onclick = () => {
      this.isDismissed = true;
      showApprovals(approvals);
      $("pending-title").focus();
    };
  }

  hasFocus() {
    return this.element.contains(document.activeElement);
  }

  /** A person is busy with it, so it has to stay, whatever becomes of it elsewhere. */
  isInHand() {
    if (this.isDismissed || decidedHere.has(this.approval.id)) return false;
    return this.isDeciding || this.note.value !== "" || this.hasFocus();
  }

  tell(text, isAlert) {
    this.message.textContent = plain(text);
    this.message.classList.toggle("alert", isAlert);
  }

  lock(isLocked) {
    this.approve.disabled = this.deny.disabled = this.note.readOnly = isLocked;
  }

  /** Only its state can have changed: all else is what the approval is bound to. */
  update(approval) {
    if (this.isDeciding || approval.state === this.approval.state) return;
    this.approval = approval;
    const hadFocus = [this.approve, this.deny].includes(document.activeElement);
    this.lock(true);
    this.approve.hidden = this.deny.hidden = this.left.hidden = true;
    this.dismiss.hidden = false;
    this.tell(fate(approval), true);
    if (hadFocus) this.dismiss.focus();
  }

  async decide(verb, meanwhile) {
    const { id, target, grant } = this.approval;
    const path = `v1/approvals/${encodeURIComponent(id)}`;
    const note = this.note.value.trim();
    const button = document.activeElement;
    this.isDeciding = true;
    this.lock(true);
    this.tell(meanwhile, false);
    try {
      const settled = await api(`${path}/${verb}`, note ? { note } : {});
      decidedHere.set(id, settled);
      // A disabled button may have lost the focus. Where a person has moved it meanwhile, it stays.
      const hadFocus = this.hasFocus() || document.activeElement === document.body;
      const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
      showApprovals(approvals);
      if (hadFocus) (cards.get(next?.id)?.title ?? $("pending-title")).focus();
      say(`${STATES[settled.state]}: ${target}, asked for by ${grant}`);
    } catch (error) {
      const over = OVER[error.code];
      const now = over && (await api(path).catch(() => this.approval));
      this.isDeciding = false;
      if (over) {
        this.update(isWaiting(now) ? { ...now, state: over } : now);
      } else {
        this.lock(false);
        const isUnknown = error instanceof Lost;
        this.tell(isUnknown ? "No answer, so nobody knows whether this counts. Try again." : error.message, true);
      }
      if (document.activeElement === document.body) (over ? this.dismiss : button).focus();
    }
  }
}

/** What became of it without this page. */
function fate({ state, note }) {
  if (state === "expired") return "Expired: nobody decided in time.";
  if (state === "gone") return "The gateway does not know this approval any more.";
  const how = state === "used" ? "approved, and used" : state;
  return `Already ${how}, not on this page.${note ? ` The note: ${note}` : ""}`;
}

function makeSettled(approval) {
  const use = approval.state === "approved" && countdown(approval.expires_at, "left to use it", "not used");
  return h(
    "li",
    { id: approval.id, tabIndex: -1, className: `entry ${plain(approval.state)}` },
    h("span", { className: "outcome" }, STATES[approval.state] ?? plain(approval.state)),
    what(code(approval.target), approval.grant),
    when(approval.created_at),
    approval.note && h("q", { className: "detail" }, plain(approval.note)),
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
  (cards.get(id)?.title ?? element).focus();
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

showSignIn();
if (token) askAll();
else $("token").focus();
