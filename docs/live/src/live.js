// A page whose code cells can be changed and run. Its Python is loaded by the first Run, its editor
// when a pointer or the keyboard comes to some code; until then the page is what Sphinx wrote.

import { Cell } from "./cell.js";
import { Python } from "./python.js";

const LIVE = "div.cell:not(.tag_static):not(.tag_skip-execution)";

const duration = (seconds) =>
  seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;

class Page {
  cells = [];
  #python = new Python(() => this.cells.forEach((cell) => (cell.ran = false)));
  #queue = []; // of { cell, target, checked }: what is to run, for the cell whose button was pressed
  #current = null;
  #editor = null;

  constructor() {
    let exercise = null;
    for (const element of document.querySelectorAll(`${LIVE}, pre.check`)) {
      if (element.matches("pre.check")) {
        exercise.check = element.textContent;
        exercise.checkButton.hidden = false;
      } else if (element.querySelector(".cell_input pre")) {
        const cell = new Cell(element, this.cells.length + 1, this);
        if (element.matches(".tag_exercise")) exercise = cell;
        if (element.matches(".tag_solution")) cell.exercise = exercise;
        this.cells.push(cell);
      }
    }
  }

  // Run a cell, after those above it that have not run yet.
  run(cell, { checked = false } = {}) {
    this.#add(this.#above(cell).filter((other) => !other.ran), cell, checked);
  }

  check(cell) {
    this.run(cell, { checked: true });
  }

  runAbove(cell) {
    const above = this.#above(cell);
    this.#add(above, above.at(-1), false);
  }

  stop() {
    for (const { cell } of this.#queue.splice(0)) cell.doing = "";
    if (!this.#current) return;
    this.#current.stopped = true;
    this.#python.stop();
  }

  loadEditor() {
    return (this.#editor ??= import("./editor.js"));
  }

  async edit(cell, x, y) {
    const editor = await this.loadEditor();
    for (const other of this.cells) other.edit(editor);
    cell.focus(x, y);
  }

  // The cells above one, but for what the reader stopped, and for a solution that is not needed.
  #above(cell) {
    return this.cells
      .slice(0, this.cells.indexOf(cell))
      .filter((other) => !other.stopped && !other.exercise?.passed);
  }

  #add(above, target, checked) {
    if (!target || target.busy) return;
    target.stopped = false;
    for (const cell of [...above.filter((cell) => cell !== target && !cell.busy), target]) {
      cell.doing = "waiting";
      this.#queue.push({ cell, target, checked: checked && cell === target });
    }
    if (!this.#current) this.#work();
  }

  async #work() {
    while (this.#queue.length) {
      const { cell, target, checked } = this.#queue.shift();
      this.#current = cell;
      const well = await this.#run(cell, checked);
      this.#current = null;
      // A reader's answer may fail: the solution below it is run as well.
      if (!well && cell !== target && !cell.check && !cell.root.matches(".tag_raises-exception"))
        this.#giveUp(target, `not run: ${cell.name} above ended with an error`);
    }
  }

  #giveUp(target, reason) {
    for (const { cell } of this.#queue.splice(0)) cell.doing = "";
    target.status = reason;
  }

  async #run(cell, checked) {
    if (!this.#python.running) {
      cell.doing = "loading Python";
      const { problem } = await this.#python.start();
      if (problem) return this.#ended(cell, problem);
    }
    cell.doing = "running";
    cell.clear();
    const { problem, seconds } = await this.#python.ask(
      { kind: "run", code: cell.code, name: cell.name },
      (kind, text) => cell.show(kind, text),
    );
    if (this.#python.running) cell.ran = true;
    if (checked && !problem) await this.#check(cell);
    return this.#ended(cell, problem, seconds);
  }

  #ended(cell, problem, seconds) {
    cell.doing = "";
    cell.status = problem || duration(seconds);
    return !problem;
  }

  async #check(cell) {
    const { problem } = await this.#python.ask(
      { kind: "check", code: cell.check, name: "check" },
      (kind, text) => cell.show(kind, text),
    );
    cell.passed = !problem;
    if (problem) cell.verdict("hint", problem);
    else cell.verdict("right", "Right.");
  }
}

const page = new Page();
const keys = document.createElement("p");
keys.id = "live-keys";
keys.hidden = true;
keys.textContent = "Shift and Enter run the cell. Tab indents; Escape and then Tab leave the cell.";
document.body.append(keys);
if (page.cells.length) document.documentElement.dataset.live = "";
