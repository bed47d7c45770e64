"""DataJoint expressions nested three deep: recorded in one session, then each judged by its own slice."""
