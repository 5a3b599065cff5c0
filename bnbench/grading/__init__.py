"""From files of strangers to grades that instructors and students believe."""
