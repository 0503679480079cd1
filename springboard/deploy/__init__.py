"""Brings a host from the release it serves to another one, or back, and loses no request.

    plan ─> settle ─> fetch ─> start beside ─> golden clip ─> canary ─> steps ─> commit ─> tidy
                        │           └──────────────┴────────────┴─────────┘
              nothing was changed         undo: the old one serves, and the record says why

deployment.json is the truth (`state`). endpoint.yml and the enabled units follow from it (`keeper`), so
whatever a killed deployment left, the next run or the timer puts right. A reboot serves what was promoted
last: only its unit is enabled. What a deployment does is planned before anything is done (`plan`): `--check`
prints that plan, and `rollout` carries it out. A signal sets a flag that the way forth asks (`stop`); the way
back is not interrupted.
"""
