// A WebSocket to the server: one stream. It connects again when it is lost.

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 10000;

// Codes of closed connections, of mpvn/serving/server/websocket.py.
const WRONG_TOKEN = 4401;
const UNKNOWN_MODEL = 4404;
const FULL = 1013;

/**
 * Calls of `on`: connecting(); lost(reason, isFull), after which it tries again;
 * refused(reason, wantsToken), after which it does not; and of each message of the server by its
 * type: hello, answer, dropped, error.
 */
export class Connection {
  constructor(on) {
    this.on = on;
    this.token = "";
    this.url = null;
    this.calls = 0;
    this.attempts = 0;
    this.socket = null;
    this.timer = 0;
  }

  get isOpen() {
    return this.greeted && this.socket?.readyState === WebSocket.OPEN;
  }

  async connect() {
    clearTimeout(this.timer);
    this.on.connecting();
    const call = (this.calls += 1);
    try {
      this.url ??= await streamUrl();
    } catch {
      if (call === this.calls) this.close({ code: 0, reason: "" });
    }
    if (this.url && call === this.calls) this.open();
  }

  open() {
    const url = new URL(this.url);
    if (this.token) url.searchParams.set("token", this.token);
    const old = this.socket;
    const socket = (this.socket = new WebSocket(url));
    old?.close();
    this.greeted = false;
    this.reason = "";
    socket.onmessage = (event) => socket === this.socket && this.receive(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.close(event);
  }

  /** Sends an image (a Blob), or a message (an object). */
  send(what) {
    if (this.isOpen) this.socket.send(what instanceof Blob ? what : JSON.stringify(what));
  }

  /** Connects again, although the browser has not noticed that the connection is lost. */
  giveUp(reason) {
    const socket = this.socket;
    this.close({ code: 0, reason });
    socket?.close();
  }

  receive(message) {
    if (message.type === "hello") {
      this.greeted = true;
      this.attempts = 0;
    }
    if (message.type === "error" && message.frame === null) this.reason = message.message;
    this.on[message.type]?.(message);
  }

  close({ code, reason }) {
    this.socket = null;
    this.greeted = false;
    const said = this.reason || reason;
    if (code === WRONG_TOKEN || code === UNKNOWN_MODEL) {
      this.on.refused(said, code === WRONG_TOKEN);
      return;
    }
    this.on.lost(said, code === FULL);
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.attempts);
    this.attempts += 1;
    this.timer = setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
  }
}

/** Returns the URL of the stream of the model of this server. */
async function streamUrl() {
  const { models } = await (await fetch("v1/models")).json();
  const url = new URL(`v1/models/${encodeURIComponent(models[0].name)}/stream`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url.href;
}
