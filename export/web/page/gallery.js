/** The images of this visit, and what was found in them. */

import { CALIBRATED } from "./adjustment.js";

/**
 * An image. `state` is "waiting", "busy", "done" or "failed"; `problem` says why
 * it failed; `segmented` is what the model gave, and `outline` the decision,
 * whose label maps are kept only while the image is shown.
 */
class Item {
  constructor(file) {
    this.file = file;
    this.name = file.name;
    this.state = "waiting";
    this.problem = "";
    this.segmented = null;
    this.outline = null;
    this.tightness = CALIBRATED;
    this.pixelsPerMm = null;
    this.thumbnail = null;
  }
}

/** The images in order, of which one is shown. */
export class Gallery {
  items = [];
  shown = null;

  /** Adds files, and shows the first of them. */
  add(files) {
    const added = files.map((file) => new Item(file));
    this.items.push(...added);
    this.shown = added[0];
    return added;
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

  get done() {
    return this.items.filter(({ state }) => state === "done");
  }

  get remaining() {
    return this.items.filter(({ state }) => ["waiting", "busy"].includes(state)).length;
  }
}
