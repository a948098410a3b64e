// The timeline: when each subnetwork computed in the last steps, and on which frame.
//
// Columns are steps. They are written from left to right and then over again, with a gap after the
// newest, so that nothing moves. Colors are those of the figures (mpvn/report/theme.py).

const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#e3d53b"];
const NARROW = 560; // pixels: below, labels are above the lanes
const SVG = "http://www.w3.org/2000/svg";

function add(parent, tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const ordinal = (number) => {
  const teen = number % 100 > 10 && number % 100 < 14;
  return number + ((!teen && { 1: "st", 2: "nd", 3: "rd" }[number % 10]) || "th");
};

/** The clocks of a subnetwork in words: "every step", "every 2nd, 4th step". */
export function clockPhrase(clocks) {
  const rates = [...new Set(clocks.map(([rate]) => rate))].sort((a, b) => a - b);
  if (!rates.length) return "";
  if (rates[rates.length - 1] === 1) return "every step";
  const slow = rates.filter((rate) => rate > 1).map(ordinal).join(", ");
  return rates[0] === 1 ? `every step, every ${slow}` : `every ${slow} step`;
}

/** The smallest of 1, 1.5, 2, 3, 4, 6, 8, 10, 15, ... that is not smaller than `value`. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.1)));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((each) => each * power).find((each) => each > 0.999 * value);
}

export class Timeline {
  constructor(svg, scaleText) {
    this.svg = svg;
    this.scaleText = scaleText;
    this.lanes = [];
    this.steps = new Map(); // what is shown, by column
    this.held = false;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.layOut()).observe(svg);
  }

  /** Shows the lanes of a network, without steps. */
  open(hello) {
    this.lanes = hello.subnetworks;
    this.period = hello.period;
    this.clear();
    this.layOut();
  }

  clear() {
    this.steps.clear();
    this.waiting = [];
    this.newest = null;
    this.scale = 1;
    this.draw();
  }

  /** Stops and starts the drawing of new steps. */
  hold(held) {
    this.held = held;
    if (!held) this.clear();
  }

  /** Adds the step of an answer. */
  add({ step, units }) {
    if (this.held || !this.columns) return;
    this.waiting.push({ step, units });
    const now = performance.now();
    if (this.calm.matches && now < (this.drawn ?? 0) + 1000) return; // one picture a second
    this.drawn = now;
    const before = this.scale;
    for (const each of this.waiting.splice(0).slice(-this.columns)) this.put(each);
    const ends = [...this.steps.values()].flatMap((each) => each.units.map((unit) => unit[3]));
    const longest = Math.max(0, ...ends);
    // It shrinks late, so that one slow step does not make it jump twice.
    if (longest > this.scale || longest < this.scale / 2) this.scale = rounded(longest);
    if (this.scale !== before) this.draw();
    this.say();
  }

  put(each) {
    if (this.newest !== null && each.step <= this.newest.step) this.clear();
    this.newest = each;
    const column = each.step % this.columns;
    for (const old of [column, (column + 1) % this.columns]) {
      this.steps.delete(old);
      this.groups[old]?.replaceChildren();
    }
    this.steps.set(column, each);
    this.drawStep(column, each);
    const x = this.left + (column + 1) * this.width;
    this.cursor.setAttribute("transform", `translate(${x} 0)`);
    this.cursor.removeAttribute("visibility");
  }

  say() {
    const unit = `${Number(this.scale.toPrecision(2))} ms`;
    if (this.scaleText.textContent !== unit) this.scaleText.textContent = unit;
  }

  layOut() {
    const total = this.svg.clientWidth;
    if (!total || !this.lanes.length || total === this.total) return this.draw();
    this.total = total;
    const narrow = total < NARROW;
    this.left = narrow ? 0 : 178;
    this.lane = narrow ? 44 : 30;
    this.bar = 20;
    const fitting = Math.floor((total - this.left) / (narrow ? 28 : 46));
    // Whole periods, so that a step of the same phase is always in the same columns.
    this.columns = Math.max(2, fitting - (this.period <= fitting ? fitting % this.period : 0));
    this.width = (total - this.left) / this.columns;
    this.steps.clear();
    this.newest = null;
    this.draw();
  }

  draw() {
    if (!this.columns) return;
    this.svg.replaceChildren();
    this.top = 20;
    const height = this.top + this.lanes.length * this.lane + 2;
    this.svg.setAttribute("viewBox", `0 0 ${this.total} ${height}`);
    this.svg.setAttribute("height", height);
    const names = this.lanes.map((lane) => lane.name).join(", ");
    this.svg.setAttribute("aria-label", `Last steps of ${names}`);
    this.lanes.forEach((lane, index) => this.drawLabel(lane, index));
    const number = () => add(this.svg, "g", { class: "step" });
    this.groups = Array.from({ length: this.columns }, number);
    for (const [column, each] of this.steps) this.drawStep(column, each);
    const edges = this.lanes.map((_, index) => `M0 ${this.y(index) - 2}v${this.bar + 4}`);
    this.cursor = add(this.svg, "path", { class: "now", d: edges.join(""), visibility: "hidden" });
  }

  drawLabel(lane, index) {
    const phrase = clockPhrase(lane.clocks);
    const group = add(this.svg, "g", { class: "lane", "data-name": lane.name });
    add(group, "title", {}, `${lane.name}: ${phrase}`);
    const y = this.top + index * this.lane + (this.left ? this.bar / 2 - 1 : 10);
    const text = add(group, "text", { class: "ink", x: 0, y, "font-size": 13 }, lane.name);
    const small = { class: "soft", "font-size": 11 };
    if (this.left) add(group, "text", { ...small, x: 0, y: y + 13 }, phrase);
    else add(text, "tspan", { ...small, dx: 8 }, phrase);
  }

  drawStep(column, { step, units }) {
    const group = this.groups[column];
    const x = this.left + column * this.width;
    const every = Math.ceil(34 / this.width);
    const middle = { x: x + this.width / 2, y: 12, "text-anchor": "middle" };
    if (step % every === 0) add(group, "text", { class: "soft", "font-size": 11, ...middle }, step);
    this.lanes.forEach((lane, index) => {
      const y = this.y(index);
      if (lane.clocks.some(([rate, phase]) => step % rate === phase)) {
        const cell = { x: x + 1.5, y, width: this.width - 3, height: this.bar, rx: 3 };
        add(group, "rect", { class: "cell", ...cell });
      } else {
        const dot = { cx: x + this.width / 2, cy: y + this.bar / 2, r: 2 };
        add(group, "circle", { class: "idle", "data-lane": index, ...dot });
      }
    });
    for (const unit of units) this.drawUnit(group, x + 1.5, step, unit);
  }

  drawUnit(group, x, step, [index, name, start, end]) {
    const lane = this.lanes[index];
    if (!lane) return;
    const age = lane.ages[step % this.period]; // null: of no frame, but of feedback alone
    const frame = age === null ? -1 : step - age;
    const pixels = (this.width - 3) / this.scale;
    const box = {
      class: "bar",
      "data-lane": index,
      x: x + start * pixels,
      y: this.y(index),
      width: Math.max(1.5, (end - start) * pixels),
      height: this.bar,
      rx: 2,
      fill: frame < 0 ? "none" : COLORS[frame % COLORS.length],
    };
    if (frame < 0) Object.assign(box, { stroke: COLORS[0], "stroke-dasharray": "2 2" });
    let about = `frame ${frame}`;
    if (frame < 0) about = age === null ? "feedback only" : "zeros, before the first frame";
    const milliseconds = `${(end - start).toFixed(2)} ms`;
    const bar = add(group, "rect", box);
    add(bar, "title", {}, `step ${step}, ${lane.name}: ${name}: ${about}, ${milliseconds}`);
  }

  y(index) {
    return this.top + index * this.lane + (this.left ? 0 : 16);
  }
}
