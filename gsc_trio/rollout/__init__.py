"""Raising concurrency with proof: stages, what is measured in them, and the gates between them.

`run_rollout` is the whole of it; ``gsc-trio rollout`` and ``playbook/ROLLOUT.md`` are its faces.
"""
