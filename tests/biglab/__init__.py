"""A lab of Spyglass's size and shape, and a paper of it: recorded, planned, exported, restored, verified.

`python -m tests.biglab` runs it on servers of its own. What the slice must hold is computed by SQL of its own, without
`graph`.
"""
