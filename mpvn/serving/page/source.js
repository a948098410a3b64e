// Where pictures come from: a camera, a video file, or an image file.
//
// A source has: picture (what can be drawn, or null while there is none), width, height, live,
// stop(), and onend(reason), which the page sets.

const CAMERA_FAULTS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser, and start again.",
  NotFoundError: "There is no camera.",
  OverconstrainedError: "This camera is gone. Choose another one.",
  NotReadableError: "The camera does not start. Another program may be using it.",
};

/** Opens a camera; `choice` is a device ID, "user" (front), "environment" (back), or empty. */
export async function openCamera(choice, fps) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error(
      "Browsers give the camera only to pages from this computer (localhost) or over HTTPS. " +
        "Open a file, or serve this page over HTTPS.",
    );
  }
  const video = { width: { ideal: 960 }, height: { ideal: 720 } };
  if (fps) video.frameRate = { ideal: Math.max(fps, 15) };
  if (["user", "environment"].includes(choice)) video.facingMode = { ideal: choice };
  else if (choice) video.deviceId = { exact: choice };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Error(CAMERA_FAULTS[error.name] ?? `The camera does not start: ${error.message}`);
  }
  const source = new VideoSource("camera");
  source.video.srcObject = stream;
  const track = stream.getVideoTracks()[0];
  source.deviceId = track.getSettings().deviceId;
  source.onstop = () => stream.getTracks().forEach((each) => each.stop());
  track.onended = () => source.end("The camera stopped.");
  await source.play();
  return source;
}

/** The cameras, [[choice, name], ...]: by name where the browser tells, else front and back. */
export async function cameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const found = devices.filter((device) => device.kind === "videoinput");
  if (found.length && found.every((device) => device.label)) {
    return found.map((device) => [device.deviceId, device.label]);
  }
  const isPhone = matchMedia("(pointer: coarse)").matches;
  return isPhone ? [["environment", "Back"], ["user", "Front"]] : [];
}

/** Opens a file that the user chose. */
export async function openFile(file) {
  if (file.type.startsWith("image/")) {
    const picture = await createImageBitmap(file).catch(() => null);
    if (!picture) throw new Error(`${file.name}: this browser cannot read it as an image.`);
    const { width, height } = picture;
    return { kind: "image", picture, width, height, stop: () => picture.close() };
  }
  const source = new VideoSource("video");
  const url = URL.createObjectURL(file);
  source.video.src = url;
  source.onstop = () => URL.revokeObjectURL(url);
  source.video.onended = () => source.end("The video has ended.");
  await source.play().catch(() => {
    source.stop();
    throw new Error(`${file.name}: this browser cannot play it as a video.`);
  });
  return source;
}

class VideoSource {
  constructor(kind) {
    this.kind = kind;
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
  }

  get picture() {
    return this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA ? this.video : null;
  }

  get width() {
    return this.video.videoWidth;
  }

  get height() {
    return this.video.videoHeight;
  }

  async play() {
    await this.video.play();
    if (!this.width) throw new Error("no pictures");
  }

  pause(paused) {
    if (this.kind !== "video") return;
    if (paused) this.video.pause();
    else this.video.play().catch(() => {});
  }

  stop() {
    this.video.onended = null;
    this.video.pause();
    this.onstop();
    this.video.removeAttribute("src");
    this.video.srcObject = null;
  }

  end(reason) {
    this.onend?.(reason);
  }
}
