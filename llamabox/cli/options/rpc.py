"""rpc-server: llamabox as a remote backend."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Integer, Text

RPC_SERVER = Group(
    "rpc-server",
    (
        Option(
            "rpc_server_host",
            "--rpc-server-host HOST",
            (Text("an address or a host name"),),
            default="0.0.0.0",
            help="ip address to rpc server listen (default: 0.0.0.0)",
            env="LLAMA_ARG_RPC_SERVER_HOST",
        ),
        Option(
            "rpc_server_port",
            "--rpc-server-port PORT",
            (Integer(0, 65535),),
            default=0,
            help="port to rpc server listen (default: 0, 0 = disabled)",
            env="LLAMA_ARG_RPC_SERVER_PORT",
        ),
        Option(
            "rpc_server_main_gpu",
            "--rpc-server-main-gpu N",
            (Integer(-1),),
            default=0,
            help="the GPU VRAM to use for the rpc server (default: 0, -1 = disabled, use RAM)",
        ),
        Option(
            "rpc_server_reserve_memory",
            "--rpc-server-reserve-memory MEM",
            (Integer(),),
            default=0,
            help="reserve memory in MiB (default: 0)",
        ),
    ),
    later="RPC arrives in a later release",
)
