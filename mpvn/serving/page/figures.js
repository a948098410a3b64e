// What was measured over the last seconds, as text.

const SECONDS = 2;

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

export class Figures {
  constructor(elements) {
    this.elements = Object.fromEntries([...elements].map((element) => [element.id, element]));
    this.restart();
  }

  restart() {
    this.recent = [];
    this.step = null;
    this.dropped = 0; // frames that the server did not compute
    this.skipped = 0; // frames that the page did not send
    this.show();
  }

  add(time, latency, { step, wait_ms: wait, compute_ms: compute }) {
    this.recent.push({ time, latency, wait, compute });
    this.step = step;
  }

  show() {
    const now = performance.now();
    this.recent = this.recent.filter(({ time }) => time > now - 1000 * SECONDS);
    const set = (name, text) => (this.elements[name].textContent = text);
    for (const name of ["latency", "wait", "compute"]) {
      const values = this.recent.map((each) => each[name]);
      set(name, values.length ? milliseconds(median(values)) : "–");
    }
    const count = this.recent.length;
    const seconds = count > 1 ? (this.recent[count - 1].time - this.recent[0].time) / 1000 : 0;
    set("rate", seconds ? ((count - 1) / seconds).toFixed(1) : "–");
    set("step", this.step ?? "–");
    set("dropped", this.dropped + this.skipped);
    const here = this.skipped ? `${this.skipped} not sent` : "";
    const there = this.dropped ? `${this.dropped} in the server` : "";
    set("dropped-note", [here, there].filter(Boolean).join(", ") || "frames");
  }
}
