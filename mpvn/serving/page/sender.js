// Sends the pictures of a source to the server, at the rate of the network.

const MOST_IN_FLIGHT = 4; // frames: an answer is never older than these
const FASTEST = 30; // frames per second, of a network without a rate
const QUALITY = 0.9; // of JPEG
const WIDEST = 960; // pixels of the pictures that are kept to be shown

/**
 * The part of a picture that the server cuts out for the network, in pixels of the picture: the
 * middle, by the rule of `Cropped` in mpvn/data/video/framing.py.
 */
export function partOf(width, height, { size, shorter_side: side }) {
  const largest = Math.min(height / size[0], width / size[1]);
  const pixel = side ? Math.min(largest, Math.min(height, width) / side) : largest;
  const [rows, columns] = [size[0] * pixel, size[1] * pixel];
  return { left: (width - columns) / 2, top: (height - rows) / 2, width: columns, height: rows };
}

/** Takes pictures of `source` when they are due, and sends them by `connection`. */
export class Sender {
  constructor(connection) {
    this.connection = connection;
    this.canvas = document.createElement("canvas");
    this.restart();
    this.source = null;
  }

  /** A new connection: frames are numbered from 0 there. */
  restart() {
    for (const frame of this.inFlight?.values() ?? []) frame.picture.close();
    this.inFlight = new Map(); // frames without an answer, by number
    this.sent = 0;
    this.skipped = 0; // frames that were not sent, because answers are late
  }

  start(source, hello) {
    this.source = source;
    this.hello = hello;
    this.due = performance.now();
    if (!this.loop) this.tick(this.due);
  }

  stop() {
    this.source = null;
    cancelAnimationFrame(this.loop);
    this.loop = 0;
  }

  /** Returns the frame of a message of the server; it is no longer in flight. */
  landed(number) {
    const frame = this.inFlight.get(number);
    this.inFlight.delete(number);
    return frame;
  }

  /** Milliseconds for which the oldest frame in flight has no answer. */
  get overdue() {
    const [oldest] = this.inFlight.values();
    return oldest ? performance.now() - oldest.captured : 0;
  }

  tick(now) {
    this.loop = requestAnimationFrame((time) => this.tick(time));
    // Half a refresh of the display early is nearer than half a refresh late.
    if (now < this.due - 8 || !this.connection.isOpen || !this.source.picture) return;
    const { fps } = this.hello;
    const interval = 1000 / (fps ?? FASTEST);
    const missed = Math.max(0, Math.floor((now - this.due) / interval));
    this.due += (missed + 1) * interval;
    const isFree = !this.busy && this.inFlight.size < (fps ? MOST_IN_FLIGHT : 2);
    if (isFree) this.take();
    // A network without a rate takes what it can: nothing is due.
    if (fps) this.skipped += missed + !isFree;
  }

  async take() {
    this.busy = true; // one at a time, so that frames stay in order
    const { connection, source } = this;
    const socket = connection.socket;
    try {
      const { width, height } = source;
      const scale = Math.min(1, WIDEST / width);
      const resized = { resizeWidth: Math.max(1, Math.round(width * scale)), resizeQuality: "medium" };
      const captured = performance.now();
      const picture = await createImageBitmap(source.picture, scale < 1 ? resized : {});
      const image = await this.encode(picture);
      if (this.source !== source || connection.socket !== socket || !connection.isOpen) {
        picture.close();
        return;
      }
      this.inFlight.set(this.sent, { picture, captured });
      this.sent += 1;
      connection.send(image);
    } catch {
      this.skipped += 1; // the source ended meanwhile
    } finally {
      this.busy = false;
    }
  }

  /** JPEG of at most twice the pixels that the network takes: JPEG halves those of colors. */
  encode(picture) {
    const part = partOf(picture.width, picture.height, this.hello);
    const scale = Math.min(1, (2 * this.hello.size[0]) / part.height);
    this.canvas.width = Math.max(1, Math.round(picture.width * scale));
    this.canvas.height = Math.max(1, Math.round(picture.height * scale));
    const context = this.canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "medium";
    context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    return new Promise((done, failed) => {
      const take = (blob) => (blob ? done(blob) : failed(new Error("no image")));
      this.canvas.toBlob(take, "image/jpeg", QUALITY);
    });
  }
}
