/** Takes pictures with a camera of this device; USB dermoscopes are cameras. */

import { byId } from "./elements.js";

const LARGEST = { width: { ideal: 4096 }, height: { ideal: 4096 } };

let stream = null;

/**
 * Attaches the camera's dialog, where the browser has cameras.
 *
 * @param {{taken: function(File[]), failed: function(string)}} calls
 */
export function attachCamera({ taken, failed }) {
  if (!navigator.mediaDevices?.getUserMedia) return;
  byId("live-camera").hidden = false;
  byId("live-camera").addEventListener("click", async () => {
    try {
      await openCamera({ video: { ...LARGEST, facingMode: "environment" } });
    } catch (error) {
      close();
      failed(reason(error));
    }
  });
  byId("camera-choice").addEventListener("change", async ({ target }) => {
    close();
    try {
      await openCamera({ video: { ...LARGEST, deviceId: { exact: target.value } } });
    } catch (error) {
      byId("camera-dialog").close(); // which closes the camera, too
      failed(reason(error));
    }
  });
  byId("shoot").addEventListener("click", async () => {
    const file = await shoot();
    byId("camera-dialog").close();
    taken([file]);
  });
  byId("camera-dialog").addEventListener("close", close);
  byId("camera-cancel").addEventListener("click", () => byId("camera-dialog").close());
}

async function openCamera(constraints) {
  stream = await navigator.mediaDevices.getUserMedia(constraints);
  const video = byId("camera-view");
  video.srcObject = stream;
  await video.play();
  await listCameras();
  if (!byId("camera-dialog").open) byId("camera-dialog").showModal();
}

/** Lists the cameras; their names are known once one was allowed. */
async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter(({ kind }) => kind === "videoinput");
  const used = stream.getVideoTracks()[0].getSettings().deviceId;
  byId("camera-choice").replaceChildren(
    ...cameras.map(({ label, deviceId }, i) => {
      const name = label || `Camera ${i + 1}`;
      return new Option(name, deviceId, false, deviceId === used);
    }),
  );
}

/** Takes what the camera sees as a PNG file of its full size. */
async function shoot() {
  const video = byId("camera-view");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  return new File([blob], `photo ${time}.png`, { type: "image/png" });
}

function close() {
  stream?.getTracks().forEach((track) => track.stop());
  byId("camera-view").srcObject = null;
  stream = null;
}

function reason({ name, message }) {
  const known = {
    NotAllowedError:
      "The camera was not allowed; allow it in the browser's settings for this page.",
    NotFoundError: "No camera was found; connect one, or choose an image.",
    NotReadableError: "The camera is in use by another program; close that first.",
  };
  return known[name] ?? `The camera cannot be used (${message}).`;
}
