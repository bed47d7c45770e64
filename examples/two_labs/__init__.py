"""The main job on two private servers: two labs share a database, one of them publishes a paper."""
