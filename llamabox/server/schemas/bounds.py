"""The bounds that fields share."""

from typing import Annotated

from msgspec import Meta

INT32, INT64 = 2**31 - 1, 2**63 - 1
MAX_CHOICES, MAX_PROBS = 128, 1000
Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
Count = Annotated[int, Meta(ge=-1, le=INT32)]
Natural = Annotated[int, Meta(ge=0, le=INT32)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Penalty = Annotated[float, Meta(ge=-1e9, le=1e9)]
TokenId = Annotated[int, Meta(ge=0, le=INT32)]
Text = Annotated[str, Meta(max_length=1 << 25)]
