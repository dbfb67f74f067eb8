"""Anthropic's Messages API: a request becomes a chat request, chat chunks become its events."""
