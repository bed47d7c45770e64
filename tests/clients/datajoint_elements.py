"""DataJoint Elements with some people and subjects; "fill" makes the tables, "read" fetches one subject.

Needs element-lab, element-animal and element-session beside DataJoint 0.14. DJ_USER, DJ_PASS and SCHEMA (a prefix) say
as whom and where.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

import datajoint as dj
from element_animal import subject
from element_lab import lab
from element_session import session_with_id as session


def activate(prefix: str) -> None:
    """Activates the Elements, as their documentation has them linked."""
    linking = ModuleType("linking")
    linking.__dict__.update({name: getattr(lab, name) for name in ("Lab", "Protocol", "User", "Source", "Project")})
    lab.activate(f"{prefix}lab")
    subject.activate(f"{prefix}subject", linking_module=linking)
    linking.__dict__.update(Subject=subject.Subject, Experimenter=lab.User)
    session.activate(f"{prefix}session", linking_module=linking)


def fill() -> None:
    """A lab of two people, each with a subject and a session."""
    lab.Lab.insert1(("Moser", "A lab", "1 Street", "UTC+0"), skip_duplicates=True, ignore_extra_fields=True)
    lab.Source.insert1({"source": "JAX", "source_name": "Jackson", "contact_details": "jax@vendor.org"})
    for name in ("anna", "bo"):
        lab.User.insert1({"user": name, "user_email": f"{name}@lab.org", "user_cellphone": "555-0100"})
    for number, name in enumerate(("anna", "bo")):
        key = {"subject": f"s{number}"}
        subject.Subject.insert1({**key, "sex": "M", "subject_birth_date": "2025-01-01"})
        subject.Subject.User.insert1({**key, "user": name})
        subject.Subject.Lab.insert1({**key, "lab": "Moser"})
        subject.Subject.Source.insert1({**key, "source": "JAX"})
        session.Session.insert1({**key, "session_id": 1, "session_datetime": "2025-02-02 12:00:00"})


def main() -> None:
    """Does what the first argument says."""
    host, _, port = os.environ["DJ_HOST"].partition(":")
    dj.config["database.host"], dj.config["database.port"] = host, int(port or os.environ["DJ_PORT"])
    dj.config["database.user"], dj.config["database.password"] = os.environ["DJ_USER"], os.environ["DJ_PASS"]
    activate(os.environ["SCHEMA"])
    if sys.argv[1] == "fill":
        fill()
    else:
        assert (subject.Subject & "subject = 's0'").fetch1("sex") == "M"


if __name__ == "__main__":
    main()
