"""`tidegate demo`: the main job by itself. Starts a gateway on free ports, sends it seven exchanges, shows what came of
them, and fails if one came out otherwise than it should.
"""
