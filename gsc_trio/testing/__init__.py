"""The testing kit: a fake Search Console, in process or on a socket."""
