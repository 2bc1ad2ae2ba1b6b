// The gateway: whether it answers, what, and to whom.

import { $ } from "./elements.js";
import { plain } from "./texts.js";
import { clock, learnClock } from "./times.js";

const ANSWER_WITHIN_MS = 10_000;
const TOKEN = "mcp-policy.token";

let token = sessionStorage.getItem(TOKEN) ?? "";

/** No answer. */
export class Lost extends Error {}

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
export async function api(path, body, as = token) {
  return (await exchange(path, body, as)).answer;
}

/** The text of what `path` answers, digit for digit. */
export async function apiText(path) {
  return (await exchange(path, undefined, token)).text;
}

async function exchange(path, body, as) {
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
  const text = await response.text().catch(() => "");
  const answer = parsed(text);
  if (response.ok && answer) return { text, answer };
  if (response.status === 401 && as === token) signOut("The gateway does not accept this token any more.");
  throw new Refusal(response, answer);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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

// What asks for all that is shown.
const views = [];

/** A function that asks now, and from then on regularly while the page is visible. */
export function keepFresh(path, every, show) {
  let timer;
  let isAsking = false;
  async function ask() {
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
  }
  views.push(ask);
  return ask;
}

const askAll = () => views.forEach((ask) => ask());

document.addEventListener("visibilitychange", askAll);

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

/** Once everything that is kept fresh is known. */
export function start() {
  showSignIn();
  if (token) askAll();
  else $("token").focus();
}
