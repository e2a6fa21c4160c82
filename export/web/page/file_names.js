/** Names of saved files. */

/** Makes a name of letters, digits and underscores, as labels.py does. */
export function slug(name) {
  return name
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_]+/gu, "_")
    .replace(/^_+|_+$/g, "");
}

/** Returns a file's name without its ending. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "");
}

/** Returns the names, with a number where one comes again. */
export function distinct(names) {
  const used = new Set();
  return names.map((name) => {
    let free = name;
    for (let number = 2; used.has(free.toLowerCase()); number += 1) {
      free = `${name}_${number}`;
    }
    used.add(free.toLowerCase());
    return free;
  });
}
