"""What a caller asks for: no torch and no decoder, since the front uses it too."""
