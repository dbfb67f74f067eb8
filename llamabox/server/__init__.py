"""HTTP: the OpenAI API over the engine. The only package that knows HTTP and JSON.

`serve(ServerSettings)` in serve.py runs a server; `create_app(ServerContext)` in app.py is the WSGI application.
"""
