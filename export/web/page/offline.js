/** Keeps the page for use without a network, and offers its updates. */

const BUILDS = "runtime/wasm/";

/**
 * Registers the service worker; before the network is closed, which also forbids
 * new workers.
 *
 * @param {{kept: function(), updated: function(function())}} calls `kept` when
 *   the page works without a network; `updated` with a function that starts a
 *   newer version
 */
export async function keepOffline({ kept, updated }) {
  const container = navigator.serviceWorker;
  if (!container) return; // the page came neither by https nor from this machine
  container.addEventListener("message", ({ data }) => data.kept && kept());
  let isUpdating = false;
  container.addEventListener("controllerchange", () => {
    if (isUpdating) location.reload();
  });
  const offer = (worker) =>
    updated(() => {
      isUpdating = true;
      worker.postMessage({ activate: true });
    });
  try {
    const registration = await container.register("service_worker.js");
    const watch = (worker) =>
      worker?.addEventListener("statechange", () => {
        // Without one that is active, it is the first and no update.
        if (worker.state === "installed" && registration.active) offer(worker);
      });
    if (registration.waiting) offer(registration.waiting);
    watch(registration.installing); // found before the page was ready
    registration.addEventListener("updatefound", () => watch(registration.installing));
  } catch (error) {
    console.warn(`This page is not kept for use offline: ${error.message}`);
  }
}

/** Tells the service worker which build of the runtime this browser loaded. */
export async function keepRuntime() {
  if (!navigator.serviceWorker) return;
  const folder = new URL("./", import.meta.url).href;
  const keep = performance
    .getEntriesByType("resource")
    .filter(({ name }) => name.startsWith(folder + BUILDS))
    .map(({ name }) => name.slice(folder.length));
  const { active } = await navigator.serviceWorker.ready;
  active.postMessage({ keep });
}
