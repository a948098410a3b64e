// The page of `mpvn serve`: it puts its parts together, and says in words what happens.

import { Connection } from "./connection.js";
import { Figures } from "./figures.js";
import { Picture, inWords, showClasses } from "./picture.js";
import { Sender } from "./sender.js";
import { cameras, openCamera, openFile } from "./source.js";
import { Status } from "./status.js";
import { Timeline } from "./timeline.js";

const SILENT = 10000; // milliseconds without an answer, after which the connection counts as lost
const at = (id) => document.getElementById(id);
const status = new Status(at("status"));
const figures = new Figures(document.querySelectorAll(".figures [id]"));
const picture = new Picture(at("picture"));
const timeline = new Timeline(at("timeline"), at("scale"));

let hello = null; // what the server says about the network
let source = null;
let starts = 0; // of sources: a camera that opens late must not replace a newer one
let file = null; // the last one
let recent = []; // pictures of the last steps: outputs may be about earlier frames
let waiting = []; // answers that are not drawn yet
let lost = false; // whether a connection was lost

// --- the connection ------------------------------------------------------------------------

const connection = new Connection({
  connecting() {
    if (!lost) status.say("wait", "Connecting …");
  },

  lost(reason, isFull) {
    lost = true;
    sender.restart();
    const cause = reason ? `: ${reason.replace(/\.$/, "")}` : "";
    let what = hello ? `Connection lost${cause}` : `No connection to the server${cause}`;
    if (isFull) what = "The server is full";
    status.say("bad", `${what}. Trying again${hello ? "; then the stream starts anew" : ""}.`);
    showButtons();
  },

  refused(reason, wantsToken) {
    const wrong = connection.token ? "The token is wrong." : "This server asks for a token.";
    status.say("bad", wantsToken ? wrong : reason);
    at("token-form").hidden = !wantsToken;
    showButtons();
  },

  hello(message) {
    hello = message;
    at("token-form").hidden = true;
    at("title").textContent = hello.model;
    at("about").textContent = about(hello);
    document.title = `${hello.model} · mpvn serve`;
    picture.hello = hello;
    timeline.open(hello);
    figures.restart();
    forget();
    sayConnected();
    if (lost) status.note("Connected again. A new stream has started.");
    lost = false;
    if (source) sender.start(source, hello);
    showButtons();
  },

  answer(message) {
    const frame = sender.landed(message.frame);
    if (!frame) return;
    if (message.step === 0) forget();
    if (message.restarted) status.note("The server has started this stream anew.");
    recent.push(frame.picture);
    const late = hello.latency ?? 0;
    while (recent.length > late + 1) recent.shift().close();
    timeline.add(message);
    if (!waiting.length) requestAnimationFrame(showAnswers);
    waiting.push({ ...message, captured: frame.captured, missing: late + 1 - recent.length });
  },

  dropped({ frame, reason }) {
    sender.landed(frame)?.picture.close();
    figures.dropped += reason !== "reset"; // that was the page's own wish
  },

  error({ frame, reason, message }) {
    sender.landed(frame)?.picture.close();
    const isFull = reason === "streams";
    status.note(isFull ? "The server is full: other streams have all its places." : message, "bad");
  },
});

const sender = new Sender(connection);

function about({ task, size, fps, subnetworks, latency }) {
  const count = subnetworks.length;
  const late = latency ? `answers ${latency} step${latency > 1 ? "s" : ""} late` : "";
  return [
    task,
    `${size[1]} × ${size[0]} pixels`,
    fps && `${Number(fps.toFixed(2))} frames per second`,
    count && `${count} subnetwork${count > 1 ? "s" : ""}`,
    late,
  ].filter(Boolean).join(" · ");
}

function connect() {
  connection.token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  connection.connect();
}

function sayConnected() {
  status.say("good", source ? `Streaming to ${hello.model}` : `Connected to ${hello.model}`);
}

// --- answers -------------------------------------------------------------------------------

/** Draws the newest answer, over the picture that it is about. */
function showAnswers() {
  const now = performance.now();
  for (const each of waiting) figures.add(now, now - each.captured, each);
  const { answer, missing } = waiting[waiting.length - 1];
  waiting = [];
  if (!recent.length) return;
  const isEarly = missing > 0; // about no frame yet
  picture.show(recent[0], isEarly ? null : answer);
  showClasses(at("classes"), (!isEarly && answer.classes) || []);
  const steps = missing === 1 ? "step" : `${missing} steps`;
  const remark = answer.outputs ? inWords(answer) : "";
  at("remark").textContent = isEarly ? `The first answer comes in ${steps}` : remark;
  at("remark").hidden = !at("remark").textContent;
  at("empty").hidden = true;
  at("picture").dataset.answer = isEarly ? "" : inWords(answer);
}

function forget() {
  for (const each of recent) each.close();
  recent = [];
  waiting = [];
}

setInterval(() => {
  if (source && sender.overdue > SILENT) connection.giveUp("the server does not answer");
  figures.skipped = sender.skipped;
  figures.show();
  const { answer } = at("picture").dataset;
  if (answer) at("picture").setAttribute("aria-label", `Picture. Answer: ${answer}`);
}, 250);

// --- sources -------------------------------------------------------------------------------

async function start(open) {
  stop();
  const number = starts;
  status.say("wait", "Starting …");
  try {
    const opened = await open();
    if (number !== starts) return opened.stop();
    source = opened;
  } catch (error) {
    if (number === starts) status.say("bad", error.message);
    return;
  }
  source.onend = (reason) => {
    stop();
    status.note(reason);
  };
  if (connection.isOpen) sayConnected();
  restartStream();
  sender.start(source, hello);
  showButtons();
}

function stop() {
  starts += 1;
  sender.stop();
  source?.stop();
  source = null;
  if (connection.isOpen) sayConnected();
  showButtons();
}

async function startCamera() {
  await start(() => openCamera(at("camera").value, hello.fps));
  const found = await cameras();
  const chosen = source?.deviceId ?? at("camera").value;
  at("camera").replaceChildren(...found.map(([choice, name]) => new Option(name, choice)));
  if (found.some(([choice]) => choice === chosen)) at("camera").value = chosen;
  showButtons();
}

/** Asks for a stream without a past, because what follows does not follow on what was sent. */
function restartStream() {
  if (sender.sent) connection.send({ type: "reset" });
}

// --- controls ------------------------------------------------------------------------------

function showButtons() {
  at("toggle").textContent = source ? "Stop" : "Start camera";
  at("toggle").disabled = at("file-button").disabled = at("hold").disabled = !hello;
  at("reset").disabled = !source || !connection.isOpen;
  at("again").hidden = source !== null || file === null;
  at("camera-label").hidden = at("camera").length < 2;
}

at("toggle").onclick = () => (source ? stop() : startCamera());
at("camera").onchange = () => source?.kind === "camera" && startCamera();
at("file-button").onclick = () => at("file").click();
at("file").onchange = () => {
  file = at("file").files[0] ?? file;
  at("file").value = ""; // the same file can be chosen again
  if (file) start(() => openFile(file));
};
at("again").onclick = () => start(() => openFile(file));
at("reset").onclick = () => {
  restartStream();
  status.note("The stream starts anew, at step 0.");
};
at("hold").onclick = () => {
  timeline.hold(!timeline.held);
  at("hold").setAttribute("aria-pressed", timeline.held);
};
at("token-form").onsubmit = (event) => {
  event.preventDefault();
  history.replaceState(null, "", `#token=${encodeURIComponent(at("token").value)}`);
  connect();
};
window.onhashchange = connect;
document.onvisibilitychange = () => {
  if (!source || !hello) return;
  source.pause?.(document.hidden);
  if (document.hidden) return sender.stop();
  restartStream();
  sender.start(source, hello);
  status.note("Paused while the page was hidden. The stream starts anew.");
};

connect();
const offered = await cameras();
at("camera").replaceChildren(...offered.map(([choice, name]) => new Option(name, choice)));
showButtons();
