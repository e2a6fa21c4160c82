/**
 * Blocks every further request of this page.
 *
 * A second content security policy can only tighten the first one: the browser
 * itself then blocks what a mistake, or injected code, would send.
 */
export function closeNetwork() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  // The browser reads the manifest, with the icons in it, to install the page.
  policy.content =
    "default-src 'none'; img-src blob: data:; manifest-src 'self'; form-action 'none'";
  document.head.append(policy);
}
