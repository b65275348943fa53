// The live cells of the built documentation, in Chromium: node --test tests/docs/live/live.test.mjs
//
// MINIGRAD_SITE is the built site (docs/_build/html), SCREENSHOTS a folder for pictures to look at.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { SITE, launch, serve } from "./site.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LESSONS = readdirSync(join(SITE, "course")).filter((name) => /^\d\d-.*\.html$/.test(name));
const FIRST = LESSONS[0];
const HANG = Number(process.env.HANG ?? 300_000); // ms

let browser, plain, isolated;
before(async () => {
  [browser, plain, isolated] = await Promise.all([launch(), serve(), serve({ isolated: true })]);
});
after(async () => {
  await browser.close();
  plain.close();
  isolated.close();
});

// Open a page of the course; it keeps what it asked for and what went wrong.
async function open(lesson, server = plain) {
  const page = await browser.newPage();
  page.setDefaultTimeout(HANG);
  page.asked = [];
  page.wrong = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("console", (message) => message.type() === "error" && page.wrong.push(message.text()));
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  await page.goto(server.url + "course/" + lesson);
  await page.locator("html[data-live]").waitFor({ state: "attached" });
  return page;
}

const cells = (page) => page.locator("div.cell:has(.live-bar)");
const output = (cell) => cell.locator(".cell_output");
const note = (cell) => cell.locator(".live-note");

async function press(cell, button) {
  await cell.evaluate((element) => element.closest("details")?.setAttribute("open", ""));
  await cell.locator(button).click();
}

// Press a button of a cell, and wait until the page rests.
async function run(page, cell, button = ".live-run") {
  await press(cell, button);
  await page.waitForFunction(() => !document.querySelector(".live-busy"));
}

// Run a cell, and return the ms from the click to its end.
async function timed(cell) {
  return cell.locator(".live-run").evaluate(async (button) => {
    const began = performance.now();
    button.click();
    while (document.querySelector(".live-busy")) await new Promise(requestAnimationFrame);
    return performance.now() - began;
  });
}

// Write other code into a cell.
async function write(page, cell, code) {
  await cell.locator(".cell_input pre, .cm-content").first().click();
  await cell.locator(".cm-content").press("ControlOrMeta+a");
  await page.keyboard.insertText(code);
}

// How many bytes a page has asked for, gzipped.
function shipped(page) {
  const asked = page.asked.filter((url) => url.startsWith(plain.url));
  const files = new Set(asked.map((url) => decodeURIComponent(new URL(url).pathname)));
  return [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(SITE, file))).length, 0);
}

// Serious findings of axe-core.
async function findings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join("\n   ")}`);
}

async function theme(page, name) {
  await page.evaluate((theme) => (document.body.dataset.theme = theme), name);
}

async function pictures(page, name) {
  if (!process.env.SCREENSHOTS) return;
  mkdirSync(process.env.SCREENSHOTS, { recursive: true });
  for (const [size, width, height] of [["desktop", 1280, 900], ["phone", 390, 844]])
    for (const colours of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await theme(page, colours);
      const path = join(process.env.SCREENSHOTS, `${name}-${size}-${colours}.png`);
      await page.screenshot({ path, fullPage: true });
    }
  await page.setViewportSize({ width: 1280, height: 900 });
}

for (const lesson of LESSONS.slice(0, 5))
  test(`${lesson}: every cell runs; under 10 MB, no other host, no error, nothing serious for axe`, async (t) => {
    const page = await open(lesson);
    const beyond = []; // the first: loading Python
    for (const cell of await cells(page).all()) {
      const ms = await timed(cell);
      const said = await note(cell).textContent();
      const [, own, unit] = said.match(/^([\d.]+) (m?s)$/) ?? assert.fail(said);
      if (!beyond.length) t.diagnostic(`first answer ${await page.evaluate(() => Math.round(performance.now()))} ms after opening`);
      beyond.push(Math.round(ms - own * (unit === "s" ? 1000 : 1)));
    }
    t.diagnostic(`ms beyond each later cell's own work: ${beyond.slice(1).join(" ")}`);
    t.diagnostic(`own work of each cell: ${(await note(page).allTextContents()).join(", ")}`);
    const editor = page.waitForRequest(/\/editor-\w+\.js$/);
    await cells(page).first().locator(".cell_input pre").hover();
    await editor;
    const bytes = shipped(page);
    t.diagnostic(`the page and all that it loads: ${(bytes / 1e6).toFixed(2)} MB gzipped`);
    assert.ok(bytes < 10e6);
    assert.deepEqual(page.asked.filter((url) => !/^(blob:)?http:\/\/127\.0\.0\.1:/.test(url)), []);
    for (const colours of ["light", "dark"]) {
      await theme(page, colours);
      assert.deepEqual(await findings(page), []);
    }
    await pictures(page, lesson.replace(".html", ""));
    assert.deepEqual(page.wrong, []);
    await page.close();
  });

test("a page as it is opened, on a phone: nothing serious for axe", async () => {
  const page = await open("13-operation.html"); // with code and outputs that are wider
  await page.setViewportSize({ width: 390, height: 844 });
  assert.deepEqual(await findings(page), []);
  await page.close();
});

test("nothing of Python is asked for before the first Run", async () => {
  const page = await open(FIRST);
  const live = () => page.asked.filter((url) => url.includes("/_static/live/"));
  const names = (urls) => urls.map((url) => new URL(url).pathname.split("/").at(-1)).sort();
  assert.deepEqual(names(live()), ["live.css", "live.js"]);
  await write(page, cells(page).first(), "print(1)");
  assert.equal(live().filter((url) => !/(live\.css|live\.js|editor-\w+\.js)/.test(url)).length, 0);
  await page.close();
});

test("a cell that is changed gives another result; Reset brings the old code back", async () => {
  const page = await open(FIRST);
  const [first, second] = await cells(page).all();
  const code = await first.locator(".cell_input pre").textContent();
  await write(page, first, "answer = 6 * 7\nanswer");
  await run(page, first);
  assert.equal((await output(first).innerText()).trim(), "42");
  await write(page, second, "print(answer + 1)\n[[1, 2], [3, 4]]");
  await run(page, second);
  assert.equal((await output(second).innerText()).trim(), "43\n[[1, 2], [3, 4]]");
  await first.getByText("Reset").click();
  assert.equal(await first.locator(".cell_input pre").textContent(), code.replace(/\n$/, ""));
  await page.close();
});

test("pictures, tables and errors stand in their place", async () => {
  const page = await open(FIRST);
  const [first, second] = await cells(page).all();
  await write(page, first, `class Dot:
    def _repr_svg_(self):
        return '<svg width="9" height="9"><circle cx="4" cy="4" r="3"/></svg>'

display(Dot())
print("<b>not html</b>")
Dot()`);
  await run(page, first);
  assert.equal(await output(first).locator("svg circle").count(), 2);
  assert.match(await output(first).innerText(), /<b>not html<\/b>/);
  await write(page, second, "x = 1\nx.nothing");
  await run(page, second);
  assert.match(await output(second).innerText(), /cell 2", line 2[^]*x\.nothing[^]*AttributeError/);
  assert.match(await note(second).innerText(), /^AttributeError/);
  await page.close();
});

test("an endless loop is stopped, and is left out when the cells above run again", async () => {
  const page = await open(FIRST);
  const [first, second, third] = await cells(page).all();
  await write(page, first, "kept = 1");
  await write(page, second, "while True:\n    pass");
  await write(page, third, "kept + 1");
  await press(second, ".live-run");
  await second.getByText("running").waitFor();
  await run(page, second, ".live-stop");
  assert.match(await note(second).innerText(), /^Stopped/);
  await run(page, third);
  assert.equal((await output(third).innerText()).trim(), "2");
  await page.close();
});

test("with shared memory a stopped cell leaves the names of the page as they are", async () => {
  const page = await open(FIRST, isolated);
  const [first, second, third] = await cells(page).all();
  await write(page, first, "import time\nmade = time.time()\nmade");
  await run(page, first);
  const made = await output(first).innerText();
  for (const code of ["while True:\n    pass", "while True:\n    print(1)"]) {
    await write(page, second, code);
    await press(second, ".live-run");
    await second.getByText("running").waitFor();
    await run(page, second, ".live-stop");
    assert.match(await note(second).innerText(), /keep their values/);
  }
  assert.ok((await output(second).innerText()).length < 110_000, "a flood of prints is cut");
  await write(page, third, "made");
  await run(page, third);
  assert.equal(await output(third).innerText(), made);
  // What catches everything is ended with its worker.
  await write(page, second, `while True:
    try:
        while True:
            sum(range(100))
    except BaseException:
        pass`);
  await press(second, ".live-run");
  await second.getByText("running").waitFor();
  await run(page, second, ".live-stop");
  assert.match(await note(second).innerText(), /Python starts anew/);
  await page.close();
});

test("the page answers while a cell works", async () => {
  const page = await open(FIRST);
  const first = cells(page).first();
  await write(page, first, "while True:\n    print('x' * 100)");
  await press(first, ".live-run");
  await output(first).getByText("which is not shown").waitFor();
  await page.evaluate(() => window.scrollTo(0, 100));
  assert.equal(await page.evaluate(() => window.scrollY), 100);
  await run(page, first, ".live-stop");
  await page.close();
});

test("an exercise fails with a hint, and passes with its solution", async () => {
  const page = await open(FIRST);
  const exercise = page.locator("div.cell.tag_exercise").first();
  const solution = page.locator("div.cell.tag_solution").first();
  const answer = exercise.locator(".live-answer");
  await run(page, exercise, ".live-check");
  assert.match(await answer.getAttribute("class"), /live-hint/);
  assert.ok((await answer.innerText()).length > 10);
  await write(page, exercise, await solution.locator(".cell_input pre").textContent());
  await run(page, exercise, ".live-check");
  assert.equal(await answer.innerText(), "Right.");
  await pictures(page, "right");
  await page.close();
});

test("an error above is said where the reader is", async () => {
  const page = await open(FIRST);
  const [first, second] = await cells(page).all();
  await write(page, first, "1 / 0");
  await run(page, second);
  assert.match(await note(second).innerText(), /not run: cell 1 above/);
  await page.close();
});

test("by keyboard: Tab indents, Escape and Tab leave, Shift and Enter run", async () => {
  const page = await open(FIRST);
  const first = cells(page).first();
  await first.locator(".cell_input pre").focus();
  await first.locator(".cm-content:focus").waitFor();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText("if True:\n");
  await page.keyboard.press("Tab");
  await page.keyboard.insertText("print('by keyboard')");
  await page.keyboard.press("Shift+Enter");
  await output(first).getByText("by keyboard").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "BUTTON");
  await page.close();
});

test("a Pyodide that is not there is said, and does not hang", async () => {
  const page = await open(FIRST);
  await page.route("**/pyodide.asm.wasm", (route) => route.fulfill({ status: 404 }));
  const first = cells(page).first();
  await run(page, first);
  assert.match(await note(first).innerText(), /pyodide\.asm\.wasm answers 404/);
  await page.close();
});
