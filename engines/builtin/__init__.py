"""The engines that ship with the server."""
