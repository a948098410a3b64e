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
    if (answer?.outputs) this.drawMaps(answer.outputs, part);
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
      opacity: height > 0 ? Math.min(1, 0.25 + 0.75 * height) : 0,
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

  /** Draws maps [h][w] or [h][w][channels] in red: the maximum over the channels. */
  drawMaps(outputs, part) {
    for (const values of Object.values(outputs)) {
      if (!Array.isArray(values?.[0])) continue;
      const rows = values.map((row) => row.map((each) => (each.length ? Math.max(...each) : each)));
      const flat = rows.flat();
      const low = flat.reduce((a, b) => Math.min(a, b));
      const range = flat.reduce((a, b) => Math.max(a, b)) - low || 1;
      const heat = new OffscreenCanvas(rows[0].length, rows.length);
      const pixels = new ImageData(heat.width, heat.height);
      const strength = (value) => (200 * (value - low)) / range;
      flat.forEach((value, index) => pixels.data.set([...HEAT, strength(value)], 4 * index));
      heat.getContext("2d").putImageData(pixels, 0, 0);
      this.context.drawImage(heat, part.left, part.top, part.width, part.height);
    }
  }
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

const isShare = (score) => score >= 0 && score <= 1;
const scoreText = (score) => (isShare(score) ? `${(100 * score).toFixed(0)} %` : score.toPrecision(3));

/** An answer in words. */
export function inWords({ classes, joints, outputs }) {
  if (classes) return classes.map(([name, score]) => `${name} ${scoreText(score)}`).join(", ");
  if (joints) return `${joints.filter(([, , height]) => height > 0).length} joints`;
  return Object.entries(outputs ?? {})
    .map(([name, values]) => `${name}: ${valuesText(values)}`)
    .join("\n");
}

function valuesText(values) {
  if (!Array.isArray(values)) return typeof values === "number" ? values.toPrecision(3) : `${values}`;
  if (!Array.isArray(values[0]) && values.length <= 8) {
    return values.map((value) => value.toPrecision(3)).join("  ");
  }
  const shape = [];
  for (let inner = values; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return `${shape.join(" × ")} numbers`;
}
