"""Google's formats, sans-IO: bytes in, objects out. Nothing here imports trio or httpx."""
