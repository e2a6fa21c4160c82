/** Lets the browser react to the user in the middle of a long computation. */
export function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}
