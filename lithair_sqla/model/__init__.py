"""Events by way of the ORM: the mixin, the session's hooks, history, replay, audit and sessions on the past."""
