// A person at the console, in a real browser: `node drive.mjs URL TOKEN ACTION [ARGUMENT...]`.
//
// URL is the console's address, or that of one approval in it (`URL#ap_...`). The actions, done with the keyboard
// alone:
//
//   state                                  nothing but look
//   approve ID [NOTE], deny ID [NOTE]      until the gateway has answered, whatever it says
//   note ID TEXT                           type a note and leave it there
//   open ID                                the address of that approval
//   sign-in TOKEN                          once more, where the first token was refused
//   forget                                 the token
//   wait TEXT                              until that text is on the page
//   screenshot FILE [--dark] [--width N]   of the whole page, as PNG
//
// Prints what the page then shows, as one line of JSON (see `look`). With the action `-`, each line of stdin is an
// action as a JSON array, done on the same page, and is answered by one such line. What fails goes to stderr, exit
// code 1.

import { obey, screenshot, withPage } from "./page.mjs";

/** What the page shows. Runs in the browser. */
function look() {
  // What is hidden has no text: `innerText` is what a person can read.
  const text = (element) => (element?.checkVisibility() ? element.innerText.trim() : "");
  const all = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  const focused = document.activeElement;
  return {
    title: document.title,
    connection: text(document.querySelector("#connection")),
    isSignedIn: document.querySelector("#sign-in").hidden,
    signInError: text(document.querySelector("#token-error")),
    news: text(document.querySelector("#news")),
    pending: all("#pending > li").map((card) => ({
      id: card.id,
      text: text(card),
      arguments: text(card.querySelector("pre")),
      note: card.querySelector("input").value,
      message: text(card.querySelector(".message")),
      canDecide: card.querySelector("button.primary:enabled:not([hidden])") !== null,
      isLinked: card.classList.contains("linked"),
    })),
    // In a closed box they have no text as it is seen.
    settled: [...document.querySelectorAll("#settled > li")].map(({ id, textContent }) => ({ id, text: textContent })),
    decisions: all("#decisions > li").map(text),
    limits: all("#limits > li").map((limit) => ({ text: text(limit), bar: limit.querySelector("meter").value })),
    policies: [...document.querySelectorAll("#policies > li")].map((policy) => policy.textContent),
    refused: text(document.querySelector("#refused")),
    // The approval that has the focus, or else the element.
    focus: focused.closest("li[id]")?.id ?? (focused.id || focused.localName),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    // What no text of the gateway's may become.
    intruders: document.querySelectorAll("script:not([src='console.js']), img, iframe, svg").length,
  };
}

const actions = {
  state() {},
  async approve(page, id, note) {
    await decide(page, "Approve", id, note);
  },
  async deny(page, id, note) {
    await decide(page, "Deny", id, note);
  },
  async note(page, id, text) {
    await page.locator(card(id)).locator("input").focus();
    await page.keyboard.type(text);
  },
  async open(page, id) {
    await page.evaluate((hash) => (location.hash = hash), id);
    await page.waitForFunction((hash) => document.activeElement.closest("li[id]")?.id === hash, id);
  },
  async "sign-in"(page, token) {
    await page.locator("#token").fill(token);
    await page.keyboard.press("Enter");
    await signedInOrNot(page);
  },
  async forget(page) {
    await page.locator("#forget").focus();
    await page.keyboard.press("Enter");
    await page.locator("#sign-in").waitFor();
  },
  async wait(page, text) {
    await page.waitForFunction((wanted) => document.body.innerText.includes(wanted), text);
  },
  screenshot,
};

// An id is no CSS name where it begins with what looks like one's end.
const card = (id) => `#pending > li[id="${id}"]`;

/** From the note by Tab to the button, as a person would who has no mouse. */
async function decide(page, label, id, note = "") {
  const { keyboard } = page;
  await page.locator(card(id)).locator("input").focus();
  await keyboard.type(note);
  await keyboard.press("Tab");
  if (label === "Deny") await keyboard.press("Tab");
  await keyboard.press("Enter");
  // The card goes, or says why it stays.
  await page.waitForFunction((selector) => {
    const message = document.querySelector(selector)?.querySelector(".message").textContent;
    return message === undefined || (message !== "" && !message.endsWith("…"));
  }, card(id));
}

/** Until the token is accepted and everything is on the page, or it is refused. */
async function signedInOrNot(page) {
  await page.waitForFunction(() => {
    const isDone = ["pending", "decisions", "limits", "policies"].every(
      (name) => document.getElementById(name).childElementCount > 0 || !document.getElementById(`${name}-empty`).hidden,
    );
    const connection = document.getElementById("connection");
    return document.getElementById("token-error").textContent !== "" || (connection.textContent !== "" && isDone);
  });
}

async function act(page, faults, [name, ...words]) {
  if (!Object.hasOwn(actions, name)) throw new Error(`there is no action ${name}`);
  await actions[name](page, ...words);
  return { ...(await page.evaluate(look)), ...faults };
}

async function main(url, token, ...action) {
  await withPage(url, async (page, faults) => {
    await actions["sign-in"](page, token);
    if (action[0] === "-") await obey((words) => act(page, faults, words));
    else console.log(JSON.stringify(await act(page, faults, action)));
  });
}

main(...process.argv.slice(2)).catch((error) => {
  console.error("drive.mjs:", error);
  process.exitCode = 1;
});
