"""The web page that segments images on the device."""
