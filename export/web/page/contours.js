/** Traces the borders of labels, along the edges of pixels. */

/**
 * Traces the border of each label.
 *
 * Only pixels next to another label cost time: rows are compared with
 * themselves four pixels at once, and the trace follows the border.
 *
 * @param {Uint8Array} labelMap [height, width], the numbers of labels, 0 is none
 * @param {{width: number, height: number}} size
 * @returns {{label: number, points: number[]}[]} closed rings, x and y of each
 *   corner in turn, with the label on the right-hand side as seen on the screen:
 *   clockwise around the label, counterclockwise around a hole in it. Pixels that
 *   touch at a corner only are not connected.
 */
export function traceContours(labelMap, size) {
  const traced = new Set();
  const contours = [];
  forEachLeftEdge(labelMap, size, (at) => {
    if (!traced.has(at)) contours.push(trace(labelMap, size, at, traced));
  });
  return contours;
}

/** Calls back with each pixel that has a label, and its left neighbor another. */
function forEachLeftEdge(labelMap, { width, height }, found) {
  const aligned = labelMap.byteOffset % 4 === 0;
  const words = aligned
    ? new Uint32Array(labelMap.buffer, labelMap.byteOffset, labelMap.length >> 2)
    : new Uint32Array(0);
  for (let y = 0; y < height; y += 1) {
    const end = (y + 1) * width;
    let left = 0;
    for (let i = y * width; i < end; i += 1) {
      // Four pixels that equal the one before them hold no edge.
      const same = left * 0x01010101;
      while (i % 4 === 0 && i + 4 <= end && words[i >> 2] === same) i += 4;
      if (i >= end) break;
      const own = labelMap[i];
      if (own !== left) {
        if (own !== 0) found(i);
        left = own;
      }
    }
  }
}

// Up, right, down, left. To the right-hand side of each lies the label.
const RIGHTWARD = [0, 1, 0, -1];
const DOWNWARD = [-1, 0, 1, 0];
// Where the pixels ahead lie from a corner, on the left- and right-hand side.
const AHEAD_LEFT = [[-1, -1], [0, -1], [0, 0], [-1, 0]];
const AHEAD_RIGHT = [[0, -1], [0, 0], [-1, 0], [-1, -1]];

/** Follows a border upward from the left edge of a pixel, back to its start. */
function trace(labelMap, { width, height }, start, traced) {
  const label = labelMap[start];
  const holds = (x, y) =>
    x >= 0 && y >= 0 && x < width && y < height && labelMap[y * width + x] === label;
  const points = [];
  let x = start % width;
  let y = (start - x) / width + 1;
  let direction = 0;
  const [firstX, firstY] = [x, y];
  do {
    x += RIGHTWARD[direction];
    y += DOWNWARD[direction];
    if (direction === 0) traced.add(y * width + x);
    const [right, below] = AHEAD_RIGHT[direction];
    const [left, above] = AHEAD_LEFT[direction];
    let turn = 0;
    if (!holds(x + right, y + below)) turn = 1;
    else if (holds(x + left, y + above)) turn = 3;
    if (turn) points.push(x, y);
    direction = (direction + turn) % 4;
  } while (x !== firstX || y !== firstY || direction !== 0);
  return { label, points };
}

/** Enlarges contours from one size of their image to another, in place. */
export function enlarge(contours, from, to) {
  const across = to.width / from.width;
  const down = to.height / from.height;
  for (const { points } of contours) {
    for (let i = 0; i < points.length; i += 2) {
      points[i] *= across;
      points[i + 1] *= down;
    }
  }
  return contours;
}

/**
 * Computes the area inside a ring: positive around a label, negative around a
 * hole in it (the shoelace formula).
 */
export function signedArea(points) {
  let twice = 0;
  const last = points.length - 2;
  for (let i = 0, before = last; i <= last; before = i, i += 2) {
    twice += points[before] * points[i + 1] - points[i] * points[before + 1];
  }
  return twice / 2;
}

/**
 * Groups rings to polygons: the ring around each connected area first, then
 * those around its holes.
 *
 * @param {number[][]} rings of one label, as traced
 * @returns {number[][][]} polygons
 */
export function groupPolygons(rings) {
  const outer = rings.filter((ring) => signedArea(ring) > 0);
  const polygons = outer.map((ring) => [ring]);
  for (const hole of rings.filter((ring) => signedArea(ring) < 0)) {
    // Of those around it, the smallest is its own.
    const around = outer
      .map((ring, i) => ({ i, area: signedArea(ring), ring }))
      .filter(({ ring, area }) => area > -signedArea(hole) && surrounds(ring, hole))
      .sort((one, other) => one.area - other.area);
    polygons[around[0].i].push(hole);
  }
  return polygons;
}

/** Tells whether a ring surrounds the start of another, by rays to the left. */
function surrounds(ring, [cornerX, cornerY]) {
  // The middle of the pixel up and left of a corner of a hole, or its neighbor,
  // is never on an edge.
  const [x, y] = [cornerX - 0.5, cornerY - 0.5];
  let isInside = false;
  const last = ring.length - 2;
  for (let i = 0, before = last; i <= last; before = i, i += 2) {
    const crosses = ring[i + 1] > y !== ring[before + 1] > y;
    if (crosses && ring[i] < x) isInside = !isInside;
  }
  return isInside;
}
