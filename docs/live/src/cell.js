// One code cell: the code that Sphinx wrote and an editor over it, buttons, status and output.

const OUTPUT = { out: "stream", err: "stderr", error: "traceback" }; // as myst-nb names them

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export class Cell {
  ran = false; // since the page's Python started
  stopped = false; // by the reader: not run again by itself
  passed = false; // an exercise whose check found nothing wrong
  check = ""; // the source of an exercise's check
  exercise = null; // of a solution: the cell of its exercise
  #view = null;

  constructor(root, number, page) {
    this.root = root;
    this.name = `cell ${number}`;
    this.page = page;
    // The element that Sphinx wrote holds the code for good: the copy button reads it as well.
    this.pre = root.querySelector(".cell_input pre");
    this.original = this.code;
    this.output = root.querySelector(".cell_output") ?? make("div", "cell_output container");
    this.output.setAttribute("role", "region");
    this.output.setAttribute("aria-label", `Output of ${this.name}`);
    this.#makeBar(number);
    this.#makeEditable();
    this.status = "";
  }

  get code() {
    return this.pre.textContent.replace(/\n$/, "");
  }

  get busy() {
    return this.root.classList.contains("live-busy");
  }

  // What the cell is doing; nothing when it rests.
  set doing(text) {
    this.root.classList.toggle("live-busy", Boolean(text));
    this.status = text;
    this.runButton.textContent = text ? "Stop" : "Run";
    this.runButton.setAttribute("aria-label", `${text ? "Stop" : "Run"} ${this.name}`);
    this.runButton.classList.toggle("live-stop", Boolean(text));
  }

  set status(text) {
    this.note.textContent = text;
  }

  // Nothing, "right" or a hint.
  verdict(kind, text) {
    this.answer.className = `live-answer live-${kind}`;
    this.answer.textContent = text;
  }

  clear() {
    this.output.replaceChildren();
    this.verdict("none", "");
  }

  show(kind, text) {
    if (!this.output.isConnected) this.bar.after(this.answer, this.output);
    if (kind === "html") {
      const box = make("div", "output live-rich");
      box.innerHTML = text; // what the reader's own code made, on the reader's own page
      this.output.append(box);
      return;
    }
    let last = this.output.lastElementChild;
    if (last?.dataset.kind !== kind) {
      last = make("div", `output ${OUTPUT[kind]} highlight-myst-ansi notranslate`, { "data-kind": kind });
      const box = make("div", "highlight");
      box.append(make("pre", "", { tabindex: 0 }));
      last.append(box);
      this.output.append(last);
    }
    last.querySelector("pre").append(text);
  }

  // Put an editor over the code; `editor` is the module editor.js.
  edit(editor) {
    if (this.#view) return;
    this.replace = editor.replace;
    this.#view = editor.edit({
      code: this.code,
      label: `Python code of ${this.name}`,
      describedBy: "live-keys",
      run: () => this.page.run(this),
      changed: (code) => this.#changed(code),
    });
    this.pre.before(this.#view.dom);
    this.pre.hidden = true;
  }

  focus(x, y) {
    this.#view.focus();
    const anchor = x === undefined ? 0 : this.#view.posAtCoords({ x, y }, false);
    this.#view.dispatch({ selection: { anchor } });
  }

  #changed(code) {
    this.pre.textContent = code;
    this.resetButton.hidden = code === this.original;
    this.stopped = this.passed = false;
    this.verdict("none", "");
  }

  #reset() {
    this.replace(this.#view, this.original);
    this.runButton.focus();
  }

  #makeBar(number) {
    this.bar = make("div", "live-bar");
    this.runButton = this.#button("Run", "live-run", () =>
      this.busy ? this.page.stop() : this.page.run(this),
    );
    this.checkButton = this.#button("Check", "live-check", () => this.page.check(this));
    this.checkButton.hidden = true;
    this.aboveButton = this.#button("Run all above", "live-more", () => this.page.runAbove(this));
    this.aboveButton.hidden = number === 1;
    this.resetButton = this.#button("Reset", "live-more", () => this.#reset());
    this.resetButton.hidden = true;
    this.note = make("span", "live-note", { role: "status" });
    this.bar.append(this.runButton, this.checkButton, this.aboveButton, this.resetButton, this.note);
    this.answer = make("p", "live-answer live-none", { role: "status" });
    this.pre.closest(".cell_input").after(this.bar, this.answer);
  }

  #button(text, className, onclick) {
    const button = make("button", className, { type: "button", "aria-label": `${text}, ${this.name}` });
    button.textContent = text;
    button.onclick = onclick;
    return button;
  }

  #makeEditable() {
    this.pre.tabIndex = 0;
    this.pre.setAttribute("role", "group");
    this.pre.setAttribute("aria-label", `Python code of ${this.name}`);
    this.pre.addEventListener("pointerenter", () => this.page.loadEditor(), { once: true });
    this.pre.addEventListener("focus", () => this.page.edit(this));
    this.pre.addEventListener("pointerup", ({ clientX, clientY }) => {
      if (getSelection().isCollapsed) this.page.edit(this, clientX, clientY);
    });
  }
}
