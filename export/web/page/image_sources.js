/** Takes images that are chosen, photographed, dropped or pasted. */

/**
 * Calls back with the files of each action of the user.
 *
 * @param {HTMLInputElement[]} inputs
 * @param {{taken: function(File[]), dragged: function(boolean)}} calls `taken`
 *   with no file where something else was given
 */
export function takeImages(inputs, { taken, dragged }) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the same image can be chosen again
      if (files.length) taken(files);
    });
  }
  document.addEventListener("paste", (event) => {
    if (event.target.matches?.("input[type=number]")) return;
    take(event, event.clipboardData, taken);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser opens the file instead
    dragged(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dragged(false);
  });
  document.addEventListener("drop", (event) => {
    dragged(false);
    take(event, event.dataTransfer, taken);
  });
}

function take(event, data, taken) {
  event.preventDefault();
  taken([...(data?.files ?? [])]);
}
