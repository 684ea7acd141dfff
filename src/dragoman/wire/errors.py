"""What framing can refuse."""


class FramingError(ValueError):
    """The bytes do not follow the framing, or a frame is larger than allowed."""
