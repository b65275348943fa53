// The page's Python: a worker, started by the first Run, and anew after a Stop that had to end it.
// Its script lies in FOLDER, named by what is in it: after a change nothing comes from a cache.

const PATIENCE = 1500; // ms that an interrupted cell has, before its worker is ended

const STOPPED = { problem: "Stopped. Python starts anew; the next Run runs the cells above again." };

export class Python {
  constructor(lost) {
    this.lost = lost; // called when a worker has ended, and with it the names of the page
    this.worker = null;
    this.job = null; // what the worker is doing: { kind, done, show }
  }

  get running() {
    return this.worker !== null;
  }

  // Resolves as `ask` does.
  start() {
    const worker = new Worker(new URL(`${FOLDER}/worker.js`, import.meta.url), { type: "module" });
    this.worker = worker;
    this.signal = self.crossOriginIsolated ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    worker.onmessage = ({ data }) => {
      if (worker !== this.worker) return;
      if (data.kind !== "done") this.job.show(data.kind, data.text);
      else if (data.broken) this.#end(data);
      else this.#finish(data);
    };
    worker.onerror = (event) =>
      worker === this.worker && this.#end({ problem: event.message || "the worker did not start" });
    return this.#post({ kind: "start", signal: this.signal });
  }

  // Run a cell or a check; resolves to { problem, seconds }; the problem is empty if all is well.
  ask(message, show) {
    if (this.signal) this.signal[0] = 0;
    return this.#post(message, show);
  }

  stop() {
    if (!this.job) return;
    const job = this.job;
    if (!this.signal || job.kind === "start") return this.#end(STOPPED);
    this.signal[0] = 2; // Python sees it and raises KeyboardInterrupt
    setTimeout(() => this.job === job && this.#end(STOPPED), PATIENCE);
  }

  #post(message, show) {
    return new Promise((done) => {
      this.job = { kind: message.kind, done, show };
      this.worker.postMessage(message);
    });
  }

  #finish(result) {
    const { done } = this.job;
    this.job = null;
    done(result);
  }

  #end(result) {
    this.worker.terminate();
    this.worker = null;
    this.lost();
    this.#finish(result);
  }
}

