"""The store for many machines: one Postgres database; what it needs is in the extra ``postgres``.

Everything here may import psycopg, so nothing outside imports it before it is asked for.
"""
