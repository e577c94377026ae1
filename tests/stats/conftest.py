from hypothesis import settings

settings.register_profile("stats", deadline=None)  # a busy machine is not a failure
settings.load_profile("stats")
