/** Lets the browser answer the user between two pieces of a long work. */
export function breathe() {
  return new Promise((resolve) => setTimeout(resolve));
}
