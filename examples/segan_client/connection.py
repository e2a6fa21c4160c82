"""What both protocols need to know of a connection."""

import argparse
import ipaddress
import urllib.parse
import urllib.request

PASSWORD = "SERVING_AUTHORIZATION"  # the environment's, for the HTTP header


def find_proxy(options: argparse.Namespace) -> str | None:
    """Returns the proxy that the environment names for a server.

    A server on this machine or in a private network needs none, whatever
    http_proxy or https_proxy says.
    """
    host = urllib.parse.urlsplit(f"//{options.server}").hostname or ""
    try:
        is_near = ipaddress.ip_address(host).is_private
    except ValueError:
        is_near = host == "localhost"
    if is_near or urllib.request.proxy_bypass(host):
        return None
    scheme = "https" if options.tls else "http"
    return urllib.request.getproxies().get(scheme)
