"""OpenAI's Responses API, stateless: a request becomes a chat request, chat chunks become typed events."""
