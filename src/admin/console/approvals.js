// What waits for a person, and what became of it.

import { $, h, list, sync } from "./elements.js";
import { Lost, api, keepFresh } from "./gateway.js";
import { code, json, plain, what } from "./texts.js";
import { countdown, when } from "./times.js";

const APPROVALS_EVERY_MS = 2000;

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

const ask = keepFresh("v1/approvals", APPROVALS_EVERY_MS, (answer) => showApprovals(answer.approvals));

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

const MORE = "The call says more than is shown here: a longer name, or members beside its arguments.";

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
      approval.says_more ? h("p", { className: "alert" }, MORE) : "",
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

/** Shows this approval, once it is known how it stands. */
export function open(id) {
  link = id;
  ask();
}
