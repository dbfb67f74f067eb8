"""server/http: llama-server's flags about who may ask, and about endpoints that llama-box does not have."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Integer, path, words

HTTP = Group(
    "server/http",
    (
        Option(
            "api_keys",
            "--api-key KEY",
            (words,),
            default=(),
            help="API key to use for authentication, multiple keys can be provided as a comma-separated list "
            "(default: none)",
            env="LLAMA_API_KEY",
        ),
        Option(
            "api_key_file",
            "--api-key-file FNAME",
            (path,),
            help="path to file containing API keys, one per line; lines starting with a hash are treated as comments "
            "(default: none)",
            env="LLAMA_ARG_API_KEY_FILE",
        ),
        Option(
            "cors_origins",
            "--cors-origins ORIGINS",
            (words,),
            default=(),
            help="comma-separated list of allowed origins for CORS, or *, or localhost for every port of this machine "
            "(default: none, CORS is off)",
            env="LLAMA_ARG_CORS_ORIGINS",
        ),
        Option(
            "cors_methods",
            "--cors-methods METHODS",
            (words,),
            default=("GET", "POST", "DELETE", "OPTIONS"),
            help="comma-separated list of allowed methods for CORS (default: GET, POST, DELETE, OPTIONS)",
            env="LLAMA_ARG_CORS_METHODS",
        ),
        Option(
            "cors_headers",
            "--cors-headers HEADERS",
            (words,),
            default=("*",),
            help="comma-separated list of allowed headers for CORS (default: *)",
            env="LLAMA_ARG_CORS_HEADERS",
        ),
        Option(
            "cors_credentials",
            "--cors-credentials",
            default=True,
            help="allow credentials for CORS (default: enabled); the page's origin is then named, also for *",
            env="LLAMA_ARG_CORS_CREDENTIALS",
        ),
        Option("cors_credentials", "--no-cors-credentials", const=False, default=True, help="do not allow credentials"),
        Option(
            "props",
            "--props",
            default=False,
            help="enable changing global properties via POST /props (default: disabled)",
            env="LLAMA_ARG_ENDPOINT_PROPS",
        ),
        Option(
            "sse_ping_interval",
            "--sse-ping-interval N",
            (Integer(-1),),
            default=30,
            help="server SSE ping interval in seconds (-1 = disabled, default: 30)",
            env="LLAMA_ARG_SSE_PING_INTERVAL",
        ),
    ),
)
