/**
 * Keeps the page, its runtime and its model, for use without a network. It sees
 * no image, and it requests nothing but the files that files.json lists, whatever
 * the page asks for: the page's own policy does not bind a worker.
 */

// Of all files; written when the page is bundled. Another one is an update.
const VERSION = "VERSION";
const PREFIX = `segan ${self.registration.scope} `;
const CACHE = PREFIX + VERSION;
const FILES = "files.json";
// Of the builds of the runtime a browser needs only one.
const BUILDS = "runtime/wasm/";

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(removeOlder()));
self.addEventListener("fetch", (event) => {
  const isOwn = event.request.url.startsWith(self.registration.scope);
  if (event.request.method === "GET" && isOwn) event.respondWith(answer(event.request));
});
self.addEventListener("message", (event) => {
  if (event.data.activate) self.skipWaiting();
  if (event.data.keep) {
    const kept = keepBuilds(event.data.keep);
    event.waitUntil(kept.then(() => event.source.postMessage({ kept: VERSION })));
  }
});

async function keepAll() {
  const names = await listFiles(await fetch(FILES, { cache: "no-cache" }));
  const used = await keptBuilds();
  const needed = names.filter((name) => !name.startsWith(BUILDS) || used.has(name));
  await keep(["./", FILES, ...needed]);
}

/** Keeps the builds of the runtime that a page loaded, by their names. */
async function keepBuilds(loaded) {
  const cache = await caches.open(CACHE);
  const names = await listFiles(await cache.match(FILES));
  await keep(names.filter((name) => name.startsWith(BUILDS) && loaded.includes(name)));
}

async function listFiles(response) {
  return Object.keys((await response.json()).files);
}

/** Lists the builds that an older version kept. */
async function keptBuilds() {
  const names = new Set();
  for (const older of await olderCaches()) {
    for (const { url } of await (await caches.open(older)).keys()) {
      names.add(url.slice(self.registration.scope.length));
    }
  }
  return names;
}

/** Keeps files that are not kept yet, checked with the server. */
async function keep(names) {
  const cache = await caches.open(CACHE);
  for (const name of names) {
    if (await cache.match(name)) continue;
    await cache.add(new Request(name, { cache: "no-cache" }));
  }
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  return kept ?? fetch(request);
}

async function removeOlder() {
  for (const name of await olderCaches()) await caches.delete(name);
}

async function olderCaches() {
  const names = await caches.keys();
  return names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
}
