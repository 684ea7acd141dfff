"""What the admin API takes and gives, as pydantic models: the source of its manual."""
