/** The images of this visit, and what was found in them. */

import { CALIBRATED } from "./adjustment.js";

/**
 * An image. `state` is "waiting", "busy", "done" or "failed"; `problem` says why
 * it failed; `segmented` is what the model gave, and `outline` the decision,
 * whose label maps are kept only while the image is shown.
 */
class Item {
  constructor(file, pixelsPerMm) {
    this.file = file;
    this.name = file.name;
    this.state = "waiting";
    this.problem = "";
    this.segmented = null;
    this.outline = null;
    this.tightness = CALIBRATED;
    this.pixelsPerMm = pixelsPerMm;
    this.thumbnail = null;
  }
}

/** The images in order, of which one is shown. */
export class Gallery {
  items = [];
  shown = null;
  pixelsPerMm = null; // of images to come

  /** Adds files, and shows the first of them. */
  add(files) {
    const added = files.map((file) => new Item(file, this.pixelsPerMm));
    this.items.push(...added);
    this.shown = added[0];
  }

  /** Sets the scale of the image that is shown, or of all, also of later ones. */
  setScale(pixelsPerMm, isForAll) {
    this.pixelsPerMm = isForAll ? pixelsPerMm : null;
    for (const item of isForAll ? this.items : [this.shown]) {
      item.pixelsPerMm = pixelsPerMm;
    }
  }

  /** Returns the next image to segment: the one that is shown comes first. */
  nextWaiting() {
    if (this.shown?.state === "waiting") return this.shown;
    return this.items.find(({ state }) => state === "waiting");
  }

  /** Returns the image so many places after the shown one; undefined at an end. */
  neighbor(places) {
    return this.items[this.items.indexOf(this.shown) + places];
  }

  get remaining() {
    return this.items.filter(({ state }) => ["waiting", "busy"].includes(state)).length;
  }
}
