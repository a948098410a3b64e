// The status line: what holds until something else does, and notices for a few seconds.

const SECONDS = 4;

export class Status {
  constructor(element) {
    this.element = element;
    this.notices = 0;
  }

  /** Says what holds now; `kind` is "wait", "good" or "bad". */
  say(kind, text) {
    this.notices += 1;
    this.lasting = [kind, text];
    this.write(kind, text);
  }

  /** Says something for a few seconds. */
  note(text, kind = this.lasting[0]) {
    const number = (this.notices += 1);
    this.write(kind, text);
    setTimeout(() => number === this.notices && this.write(...this.lasting), 1000 * SECONDS);
  }

  write(kind, text) {
    this.element.dataset.kind = kind;
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
