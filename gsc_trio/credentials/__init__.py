"""Who asks: signing in, keeping accounts, and getting access tokens for them.

- `files`: the JSON files that Google hands out, told apart.
- `accounts`: the file of accounts that are signed in.
- `token_source`: access tokens through google-auth, which blocks, so in a thread.
- `choice`: which credentials a command takes.
- `oauth`, `loopback`, `login`, `logout`: signing in with a browser, and out.

A secret is in the accounts file and in requests to Google, and nowhere else.
"""
