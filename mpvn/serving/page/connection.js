// A WebSocket to the server: one stream. It connects again when it is lost.

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 10000;

/**
 * Calls of `on`: connecting(), lost(reason), refused(reason, wantsToken), after which it does not
 * try again; and of each message of the server by its type: hello, answer, dropped, error.
 */
export class Connection {
  constructor(on) {
    this.on = on;
    this.url = "";
    this.token = "";
    this.attempts = 0;
    this.socket = null;
    this.timer = 0;
  }

  get isOpen() {
    return this.greeted && this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.timer);
    this.on.connecting();
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
    if (code in REFUSALS) return this.on.refused(this.reason || reason || REFUSALS[code], code === 4401);
    this.on.lost(this.reason || reason);
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.attempts);
    this.attempts += 1;
    this.timer = setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
  }
}

/** Codes of closed connections that another try does not mend. */
const REFUSALS = { 4401: "The token is wrong.", 4404: "This server has no such model." };

/** Returns the URL of the stream of the model of this server. */
export async function streamUrl() {
  const { models } = await (await fetch("v1/models")).json();
  const url = new URL(`v1/models/${encodeURIComponent(models[0].name)}/stream`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return url.href;
}
