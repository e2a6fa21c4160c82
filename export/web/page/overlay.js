/** Paints images and their label maps on the canvases of the page. */

// Pixels of the longer side: sharp on a phone's screen, and quick to paint.
const SHOWN_SIDE = 1280;
const LINE_PER_SIDE = 0.0045;
// A dark rim inside each line keeps light colors clear on light skin.
const RIM_PER_LINE = 1.6;
const RIM = [0, 0, 0, 150];
const DIRECTIONS = 12;

/**
 * Returns the size at which an image is shown.
 *
 * @param {{width: number, height: number}} size of the image
 * @returns {{width: number, height: number}}
 */
export function shownSize({ width, height }) {
  const scale = SHOWN_SIDE / Math.max(width, height);
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}

/** Paints the image, over white where it is transparent. */
export function paintImage(canvas, bitmap, size) {
  Object.assign(canvas, size);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, size.width, size.height);
  context.drawImage(bitmap, 0, 0, size.width, size.height);
}

/** Fills each label with its color; where several hold, with their mean. */
export function paintFill(canvas, labelMaps, size, colors) {
  paint(canvas, size, (rgba) => {
    for (let i = 0; i < size.width * size.height; i += 1) {
      let holding = 0;
      for (const labelMap of labelMaps) {
        if (labelMap[i] === 0) continue;
        holding += 1;
        const color = colors[labelMap[i] - 1];
        for (let channel = 0; channel < 3; channel += 1) {
          const mean = rgba[i * 4 + channel];
          rgba[i * 4 + channel] = mean + (color[channel] - mean) / holding;
        }
        rgba[i * 4 + 3] = 255;
      }
    }
  });
}

/** Draws a line along the inside of each label, also along the image's edge. */
export function paintOutline(canvas, labelMaps, size, colors) {
  const line = Math.max(1, LINE_PER_SIDE * Math.max(size.width, size.height));
  paint(canvas, size, (rgba) => {
    for (const labelMap of labelMaps) {
      drawLine(rgba, labelMap, size, { colors, line });
    }
  });
}

function drawLine(rgba, labelMap, size, { colors, line }) {
  const near = [...circle(line / 2), ...circle(line)];
  const nearRim = circle(line * RIM_PER_LINE);
  for (let y = 0, i = 0; y < size.height; y += 1) {
    for (let x = 0; x < size.width; x += 1, i += 1) {
      if (labelMap[i] === 0) continue;
      if (meetsAnother(labelMap, size, x, y, near)) {
        rgba.set([...colors[labelMap[i] - 1], 255], i * 4);
      } else if (meetsAnother(labelMap, size, x, y, nearRim)) {
        rgba.set(RIM, i * 4);
      }
    }
  }
}

/** Tells whether one of the positions around a pixel is of another label. */
function meetsAnother(labelMap, { width, height }, x, y, offsets) {
  const own = labelMap[y * width + x];
  for (const [right, down] of offsets) {
    const column = x + right;
    const row = y + down;
    const isInside = column >= 0 && column < width && row >= 0 && row < height;
    if (!isInside || labelMap[row * width + column] !== own) return true;
  }
  return false;
}

function circle(radius) {
  return Array.from({ length: DIRECTIONS }, (_, i) => {
    const angle = (2 * Math.PI * i) / DIRECTIONS;
    return [
      Math.round(radius * Math.cos(angle)),
      Math.round(radius * Math.sin(angle)),
    ];
  });
}

function paint(canvas, size, fillIn) {
  Object.assign(canvas, size);
  const context = canvas.getContext("2d");
  const image = context.createImageData(size.width, size.height);
  fillIn(image.data);
  context.putImageData(image, 0, 0);
}
