// A person at the playground, in a real browser: `node playground.mjs URL [TOKEN]`, with the console's address. With a
// token the person signs in on the console first.
//
// Each line of stdin is an action as a JSON array, done with the keyboard alone, and is answered with one line of JSON:
// what the page then shows (see `look`). What fails goes to stderr, exit code 1.
//
//   ["state"]                    nothing but look
//   ["write", FIELD, TEXT]       in the place of what is in `draft` or `call`
//   ["times", N]                 how often the call is made
//   ["paste", TEXT]              a list of tools; ["file", PATH]: from a file
//   ["choose", TOOL, CHOICE]     by the arrow keys
//   ["limit", TOOL, MAX, WINDOW]
//   ["press", SELECTOR, N]       the Nth button of those, from 0 on, by Enter
//   ["select", SELECTOR, LABEL]  of a list of choices
//   ["tick", SELECTOR]           or no more
//   ["start", LABEL], ["pick", LABEL]  a policy to start from, a recent decision
//   ["tab", SELECTOR]            from that field
//   ["download"]                 the policy; `downloaded` has its text
//   ["screenshot", FILE, ...]    see page.mjs

import { readFile } from "node:fs/promises";
import { obey, screenshot, withPage } from "./page.mjs";

/** What the page shows. Runs in the browser. */
function look() {
  const text = (element) => (element?.checkVisibility() ? element.innerText.trim().replace(/\s+/g, " ") : "");
  const all = (selector) => [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
  const draft = document.querySelector("#draft");
  const part = (field) => field.value.slice(field.selectionStart, field.selectionEnd);
  const focused = document.activeElement;
  return {
    problem: text(document.querySelector("#engine")),
    policy: draft.value,
    state: text(document.querySelector("#draft-state")),
    news: text(document.querySelector("#draft-news")),
    marks: all("#playground mark").map(({ className, textContent }) => ({ kind: className, text: textContent })),
    // As wide and high as what is typed over it, line for line.
    layer: document.querySelector(".layer").innerText.replace(/\n\n/g, "\n"),
    findings: all("#findings > li").map((finding) => ({
      kind: text(finding.querySelector("b")),
      at: finding.querySelector(".at").lastChild.textContent,
      message: text(finding.querySelector("button > :last-child")),
    })),
    call: document.querySelector("#call").value,
    outcome: text(document.querySelector("#decision .outcome")),
    decision: text(document.querySelector("#decision")),
    steps: all("#decision .steps li").map((step) => ({
      text: text(step),
      decides: step.classList.contains("decided"),
    })),
    tools: all("#tools > li").map((tool) => ({
      name: text(tool.querySelector(".what")),
      about: text(tool.querySelector(".about")),
      risk: text(tool.querySelector(".risk summary")),
      why: text(tool.querySelector(".risk p")),
      now: text(tool.querySelector(".now")),
      choice: tool.querySelector("input:checked")?.value ?? "",
      canChoose: !tool.querySelector("fieldset").disabled,
      rate: tool.querySelector(".rate").checkVisibility(),
      note: text(tool.querySelector("div:last-child > .about")),
    })),
    toolsCount: text(document.querySelector("#tools-count")),
    severities: [...document.querySelectorAll("#tools-severity option")].map((option) => option.text),
    toolsProblem: text(document.querySelector("#tools-problem")),
    recent: [...document.querySelectorAll("#recent option")].map((option) => option.value),
    selected: focused.localName === "textarea" ? part(focused) : "",
    focus: focused.id || focused.value || focused.innerText || focused.localName,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    // What no text of anybody's may become.
    intruders: document.querySelectorAll("script:not([src='console.js']), img, iframe, svg").length,
  };
}

const actions = {
  state() {},
  async write(page, field, text) {
    await page.locator(`#${field}`).focus();
    await retype(page, text);
  },
  async times(page, number) {
    await page.locator("#times").focus();
    await retype(page, number);
  },
  async paste(page, text) {
    const field = page.locator("#tools-text");
    if (!(await field.isVisible())) {
      await page.locator("details:has(> #tools-text) > summary").focus();
      await page.keyboard.press("Enter");
    }
    await field.focus();
    await retype(page, text);
  },
  async file(page, path) {
    await page.locator("#tools-file").setInputFiles(path);
  },
  async choose(page, tool, choice) {
    const radios = row(page, tool).locator("input[type=radio]");
    const checked = row(page, tool).locator("input[type=radio]:checked");
    // Where none is checked, Tab leads to the first.
    await ((await checked.count()) > 0 ? checked : radios).first().focus();
    const focused = () => page.evaluate(() => document.activeElement.value);
    for (let tries = 0; (await focused()) !== choice; tries++) {
      if (tries > 5) throw new Error(`no arrow key leads to ${choice}`);
      await page.keyboard.press("ArrowRight");
    }
    if (!(await radios.and(page.locator(":focus")).isChecked())) await page.keyboard.press("Space");
  },
  async limit(page, tool, max, window) {
    await row(page, tool).locator(".rate input").focus();
    await retype(page, max);
    await page.keyboard.press("Tab");
    await page.keyboard.type(window);
    await page.keyboard.press("Tab");
  },
  async press(page, selector, index = 0) {
    await page.locator(selector).nth(index).focus();
    await page.keyboard.press("Enter");
  },
  async select(page, selector, label) {
    await page.locator(selector).focus();
    await page.keyboard.press("Home");
    const chosen = () => page.evaluate(() => document.activeElement.selectedOptions[0].text);
    for (let tries = 0; !(await chosen()).startsWith(label); tries++) {
      if (tries > 5) throw new Error(`no arrow key leads to ${label}`);
      await page.keyboard.press("ArrowDown");
    }
  },
  async tick(page, selector) {
    await page.locator(selector).focus();
    await page.keyboard.press("Space");
  },
  async start(page, label) {
    await page.locator("#start").focus();
    // A blank would open the list.
    await page.keyboard.type(label.split(" ")[0]);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#draft-news").textContent !== "");
  },
  async pick(page, label) {
    await page.locator("#recent").focus();
    await page.keyboard.type(label);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
  },
  async tab(page, selector) {
    await page.locator(selector).focus();
    await page.keyboard.press("Tab");
  },
  async download(page) {
    const download = page.waitForEvent("download");
    await actions.press(page, "#download");
    return { downloaded: await readFile(await (await download).path(), "utf8") };
  },
  screenshot,
};

const row = (page, tool) => page.locator("#tools > li").filter({ has: page.locator(".what", { hasText: tool }) });

async function retype(page, text) {
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

async function act(page, faults, [name, ...words]) {
  if (!Object.hasOwn(actions, name)) throw new Error(`there is no action ${name}`);
  const more = await actions[name](page, ...words);
  await settled(page);
  return { ...(await page.evaluate(look)), ...more, ...faults };
}

/** Until what is there has been judged. */
async function settled(page) {
  await page.waitForFunction(() => document.querySelector("#playground").ariaBusy === "false");
}

async function main(url, token) {
  await withPage(url, async (page, faults) => {
    if (token) {
      await page.locator("#token").fill(token);
      await page.keyboard.press("Enter");
      for (const name of ["decisions", "policies"]) await page.locator(`#${name} > li`).first().waitFor();
    }
    await page.locator("nav a").last().focus();
    await page.keyboard.press("Enter");
    await settled(page);
    await obey((words) => act(page, faults, words));
  });
}

main(...process.argv.slice(2)).catch((error) => {
  console.error("playground.mjs:", error);
  process.exitCode = 1;
});
