// Draws a frame, and what the network says about it, in the geometry of the network.

import { partOf } from "./sender.js";

const JOINT = "64 224 255"; // as in mpvn/tasks/overlay.py
const GROUND = "24 28 34";
const HEAT = [230, 40, 30];

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.hello = null;
    this.shown = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Shows a frame (an ImageBitmap) and the answer about it, or without one (null). */
  show(frame, answer) {
    this.shown = { frame, answer };
    this.canvas.style.aspectRatio = `${frame.width} / ${frame.height}`;
    this.draw();
  }

  draw() {
    const { canvas, context } = this;
    const sharpness = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !this.shown?.frame.width) return; // closed frames have no width
    if (canvas.width !== Math.round(width * sharpness)) canvas.width = Math.round(width * sharpness);
    if (canvas.height !== Math.round(height * sharpness)) {
      canvas.height = Math.round(height * sharpness);
    }
    const { frame, answer } = this.shown;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    // The whole frame fits, in the middle; from here on, a unit is a pixel of the frame.
    const scale = Math.min(canvas.width / frame.width, canvas.height / frame.height);
    const left = (canvas.width - scale * frame.width) / 2;
    const top = (canvas.height - scale * frame.height) / 2;
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingQuality = "high";
    context.drawImage(frame, 0, 0);
    const part = partOf(frame.width, frame.height, this.hello);
    this.dim(frame, part);
    if (answer?.outputs) this.drawOutputs(answer.outputs, part);
    if (answer?.joints) this.drawJoints(answer.joints, part);
  }

  /** Darkens what the network does not see. */
  dim({ width, height }, part) {
    const path = new Path2D();
    path.rect(0, 0, width, height);
    path.rect(part.left, part.top, part.width, part.height);
    this.context.fillStyle = "rgb(24 28 34 / 55%)";
    this.context.fill(path, "evenodd");
  }

  drawJoints(joints, part) {
    const radius = Math.min(part.width, part.height) / 64;
    const dots = joints.map(([x, y, height]) => ({
      x: part.left + x * part.width,
      y: part.top + y * part.height,
      opacity: isJoint([x, y, height]) ? Math.min(1, 0.25 + 0.75 * height) : 0,
    }));
    const { context } = this;
    context.lineWidth = 0.7 * radius;
    context.lineCap = "round";
    for (const [one, other] of this.hello.limbs ?? []) {
      const opacity = Math.min(dots[one].opacity, dots[other].opacity);
      context.strokeStyle = `rgb(${JOINT} / ${opacity})`;
      context.beginPath();
      context.moveTo(dots[one].x, dots[one].y);
      context.lineTo(dots[other].x, dots[other].y);
      context.stroke();
    }
    context.lineWidth = 0.35 * radius;
    for (const { x, y, opacity } of dots) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = `rgb(${JOINT} / ${opacity})`;
      context.strokeStyle = `rgb(${GROUND} / ${opacity})`;
      context.fill();
      context.stroke();
    }
  }

  /** Draws pictures of the size of the frame in a corner, and maps in red. */
  drawOutputs(outputs, part) {
    const [height, width] = this.hello.size;
    for (const values of Object.values(outputs)) {
      const [rows, columns, channels] = shapeOf(values);
      if (!columns) continue;
      if (rows === height && columns === width && channels === 3) {
        const inset = [part.left + 0.6 * part.width, part.top + 0.6 * part.height];
        const image = paint(values, (pixel) => [...pixel.map((value) => 127.5 * (value + 1)), 255]);
        this.context.drawImage(image, ...inset, 0.4 * part.width, 0.4 * part.height);
      } else if (!Array.isArray(values[0][0]?.[0])) {
        this.context.drawImage(heat(values), part.left, part.top, part.width, part.height);
      }
    }
  }
}

/** The shape of nested arrays; empty for a number. */
function shapeOf(values) {
  const shape = [];
  for (let inner = values; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return shape;
}

/** A picture of values [h][w], each made red, green, blue and opacity by `color`. */
function paint(values, color) {
  const canvas = new OffscreenCanvas(values[0].length, values.length);
  const pixels = new ImageData(canvas.width, canvas.height);
  values.flat().forEach((value, index) => pixels.data.set(color(value), 4 * index));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** A map [h][w] or [h][w][channels] in red: the maximum over its channels. */
function heat(values) {
  const finite = (value) => value ?? -Infinity; // null: not finite
  const most = (each) => (Array.isArray(each) ? Math.max(...each.map(finite)) : finite(each));
  const rows = values.map((row) => row.map(most));
  const numbers = rows.flat().filter(Number.isFinite);
  const low = numbers.reduce((a, b) => Math.min(a, b), Infinity);
  const range = numbers.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  return paint(rows, (value) => [...HEAT, Math.max(0, (200 * (value - low)) / range)]);
}

/** Shows the most likely classes as bars; reuses the elements, so that nothing flickers. */
export function showClasses(list, classes) {
  while (list.children.length < classes.length) {
    const row = document.createElement("li");
    row.append(document.createElement("span"), document.createElement("span"));
    list.append(row);
  }
  while (list.children.length > classes.length) list.lastChild.remove();
  classes.forEach(([name, score], index) => {
    const row = list.children[index];
    row.children[0].textContent = name;
    row.children[1].textContent = scoreText(score);
    row.style.setProperty("--share", Math.max(0, Math.min(1, score)));
  });
}

const isJoint = ([x, y, height]) => x !== null && y !== null && height > 0;

/** A score in words: a probability in percent, other numbers as they are. */
function scoreText(score) {
  if (score === null) return "not finite";
  if (score < 0 || score > 1) return score.toPrecision(3);
  return `${(100 * score).toFixed(score < 0.1 ? 1 : 0)} %`;
}

/** An answer in words. */
export function inWords({ classes, joints, outputs }) {
  if (classes) return classes.map(([name, score]) => `${name} ${scoreText(score)}`).join(", ");
  if (joints) return `${joints.filter(isJoint).length} joints`;
  return Object.entries(outputs ?? {})
    .map(([name, values]) => `${name}: ${valuesText(values)}`)
    .join("\n");
}

function valuesText(values) {
  const shape = shapeOf(values);
  const numbers = [values].flat(Infinity);
  const text = (value) => (value === null ? "not finite" : value.toPrecision(3));
  if (shape.length < 2 && numbers.length <= 8) return numbers.map(text).join("  ");
  const bad = numbers.filter((value) => value === null).length;
  return `${shape.join(" × ")} numbers${bad ? `, ${bad} of them not finite` : ""}`;
}
