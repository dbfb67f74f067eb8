"""Chat over HTTP: a request's messages, tools and fields -> what the formats and the engine need; deltas -> replies."""
