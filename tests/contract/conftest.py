"""The document's own tests need little; those that make requests of it need schemathesis, which a group brings."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("schemathesis") else ["test_generated_requests.py"]
