/**
 * Blocks every further request of this page.
 *
 * A second content security policy can only tighten the first one: the browser
 * itself then blocks what a mistake, or injected code, would send.
 */
export function closeNetwork() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content =
    "connect-src 'none'; img-src blob:; media-src 'none'; frame-src 'none'; " +
    "worker-src 'none'; font-src 'none'; form-action 'none'";
  document.head.append(policy);
}
