/** Which part of an image is seen in a frame, and how large. */

const MOST_SCREEN_PIXELS = 24; // of one pixel of the image
const PART_KEPT_IN_FRAME = 0.1;

/** Places an image in a frame; scale 1 shows a pixel as a pixel of the screen. */
export class Viewport {
  constructor() {
    this.image = { width: 1, height: 1 };
    this.frame = { width: 1, height: 1 };
    this.fit();
  }

  /** Shows all of another image. */
  show(image) {
    this.image = image;
    this.fit();
  }

  /** Takes another size of the frame, and keeps the middle where it is. */
  resize(frame) {
    const isFitted = this.scale === this.fittedScale;
    const middle = this.toImage(this.frame.width / 2, this.frame.height / 2);
    this.frame = frame;
    if (isFitted) this.fit();
    else this.#center(middle);
  }

  get fittedScale() {
    const { image, frame } = this;
    return Math.min(frame.width / image.width, frame.height / image.height);
  }

  /** Shows all of the image. */
  fit() {
    this.scale = this.fittedScale;
    this.#center({ x: this.image.width / 2, y: this.image.height / 2 });
  }

  /** Enlarges by a factor, around a point of the frame. */
  zoom(factor, x = this.frame.width / 2, y = this.frame.height / 2) {
    const fixed = this.toImage(x, y);
    const most = Math.max(MOST_SCREEN_PIXELS, this.fittedScale);
    this.scale = Math.min(most, Math.max(this.fittedScale, this.scale * factor));
    this.left = x - fixed.x * this.scale;
    this.top = y - fixed.y * this.scale;
    this.#keepInFrame();
  }

  /** Moves the image, in pixels of the screen. */
  pan(right, down) {
    this.left += right;
    this.top += down;
    this.#keepInFrame();
  }

  /** Converts a point of the frame to one of the image. */
  toImage(x, y) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  #center({ x, y }) {
    this.left = this.frame.width / 2 - x * this.scale;
    this.top = this.frame.height / 2 - y * this.scale;
    this.#keepInFrame();
  }

  #keepInFrame() {
    const { image, frame, scale } = this;
    this.left = kept(this.left, image.width * scale, frame.width);
    this.top = kept(this.top, image.height * scale, frame.height);
  }
}

/** Centers what is smaller than the frame, and keeps the rest in sight. */
function kept(start, length, frame) {
  if (length <= frame) return (frame - length) / 2;
  const margin = frame * PART_KEPT_IN_FRAME;
  return Math.min(margin, Math.max(frame - length - margin, start));
}
