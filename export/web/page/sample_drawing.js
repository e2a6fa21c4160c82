/** Draws a lesion on skin, to try the page without an image. */

const SIZE = { width: 1200, height: 900 };
const NAME = "sample drawing.png";
const HAIRS = 14;
const POINTS = 90;

/** Draws the same sample each time. @returns {Promise<File>} */
export async function drawSample() {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, SIZE);
  const context = canvas.getContext("2d");
  drawSkin(context);
  context.filter = "blur(9px)";
  drawBlob(context, { radius: 250, color: "rgb(150 96 70)" });
  context.filter = "blur(16px)";
  drawBlob(context, { radius: 165, color: "rgb(88 50 38)" });
  context.filter = "blur(1px)";
  drawHairs(context);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], NAME, { type: "image/png" });
}

function drawSkin(context) {
  const { width, height } = SIZE;
  const light = context.createRadialGradient(
    width * 0.45, height * 0.42, 60,
    width / 2, height / 2, width * 0.62,
  );
  light.addColorStop(0, "rgb(232 190 168)");
  light.addColorStop(1, "rgb(196 148 126)");
  context.fillStyle = light;
  context.fillRect(0, 0, width, height);
}

function drawBlob(context, { radius, color }) {
  context.fillStyle = color;
  context.beginPath();
  for (let i = 0; i < POINTS; i += 1) {
    const angle = (2 * Math.PI * i) / POINTS;
    const uneven =
      1 + 0.13 * Math.sin(2 * angle + 0.6) + 0.07 * Math.sin(5 * angle) +
      0.03 * Math.sin(11 * angle + 2);
    context.lineTo(
      SIZE.width * 0.5 + 1.15 * radius * uneven * Math.cos(angle),
      SIZE.height * 0.5 + radius * uneven * Math.sin(angle),
    );
  }
  context.fill();
}

function drawHairs(context) {
  context.strokeStyle = "rgb(60 40 32 / 55%)";
  context.lineWidth = 3;
  for (let i = 0; i < HAIRS; i += 1) {
    const [x, y] = [(i * 397) % SIZE.width, (i * 271) % SIZE.height];
    context.beginPath();
    context.moveTo(x, y);
    context.quadraticCurveTo(x + 90, y - 60, x + 170 + 9 * i, y + 40 - 12 * i);
    context.stroke();
  }
}
