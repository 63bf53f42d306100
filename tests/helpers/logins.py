"""A login whose characters have meanings in URLs and headers, and how a URL may write it."""

from urllib.parse import quote

USER, WRITTEN_USER = "front@door", "front%40door"
PASSWORD = "p@s:s/w?o#r%d %41 &+=;'\"\\ ü€"

# all characters are encoded, or only those that a URL must not have in a password
ALL_ENCODED = quote(PASSWORD, safe="")
FEW_ENCODED = "".join(quote(character, safe="") if character in "@/?#%" else character for character in PASSWORD)
