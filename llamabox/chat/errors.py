"""The error of this package."""


class TemplateError(ValueError):
    """A chat template that cannot be compiled, found or rendered, or a conversation that it refuses.

    The message is for the person who sent the conversation: a server answers it with a 400.
    """


class SchemaError(TemplateError):
    """A JSON schema, of a tool or of the answer, that cannot be followed."""
