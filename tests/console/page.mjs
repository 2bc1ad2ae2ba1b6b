// One page in a real browser, and all that goes wrong in it. $MCP_POLICY_CHROMIUM is the browser's path, as
// scripts/chromium.sh prints it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// scripts/peers.sh installs it there.
const { chromium } = createRequire(new URL("../../target/peers/", import.meta.url))("playwright-core");

const TIME_LIMIT_MS = 20_000;
// In pixels, around what is pictured alone.
const MARGIN = 12;

/**
 * Opens `url` and lets `run` do with the page what it does. `faults`: its `errors`, the `violations` of its content
 * security policy, what it asked of others (`elsewhere`), and where it `sent` anything.
 */
export async function withPage(url, run) {
  if (!process.env.MCP_POLICY_CHROMIUM) throw new Error("$MCP_POLICY_CHROMIUM is not set");
  const browser = await chromium.launch({
    executablePath: process.env.MCP_POLICY_CHROMIUM,
    // Its sandbox needs rights that a container seldom has. It sees nothing but this one page.
    args: ["--no-sandbox"],
  });
  const faults = { errors: [], violations: [], elsewhere: [], sent: [] };
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(TIME_LIMIT_MS);
    page.on("pageerror", (error) => faults.errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && faults.errors.push(message.text()));
    page.on("dialog", (dialog) => faults.errors.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
    page.on("request", (request) => {
      if (!isOwn(request.url(), url)) faults.elsewhere.push(request.url());
      if (request.method() !== "GET" || request.url().includes("?")) faults.sent.push(request.url());
    });
    await page.exposeFunction("violated", (violation) => faults.violations.push(violation));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) =>
        window.violated(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`),
      );
    });
    await page.goto(url);
    await run(page, faults);
  } finally {
    await browser.close();
  }
}

// Its icon stands in the page.
const isOwn = (url, own) => url.startsWith("data:") || new URL(url).origin === new URL(own).origin;

/** Does each line of stdin, an action as a JSON array, and answers it with one line. */
export async function obey(act) {
  try {
    for await (const line of createInterface({ input: process.stdin })) {
      console.log(JSON.stringify(await act(JSON.parse(line))));
    }
  } finally {
    // Or a failure would wait for more.
    process.stdin.destroy();
  }
}

const grown = ({ x, y, width, height }) => ({
  x: x - MARGIN,
  y: y - MARGIN,
  width: width + 2 * MARGIN,
  height: height + 2 * MARGIN,
});

/** The whole page, or what a selector finds first, as PNG: `screenshot FILE [--dark] [--width N] [--only SELECTOR]`. */
export async function screenshot(page, path, ...options) {
  await page.emulateMedia({ colorScheme: options.includes("--dark") ? "dark" : "light" });
  const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : undefined);
  const [width, only] = [Number(option("--width") ?? 1280), option("--only")];
  await page.setViewportSize({ width, height: 800 });
  await page.evaluate(() => scrollTo(0, 0));
  const clip = only && grown(await page.locator(only).first().boundingBox());
  await page.screenshot({ path, fullPage: true, clip });
}
