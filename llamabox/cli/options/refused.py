"""llama-server's options that llamabox refuses by name, each with the reason."""

from llamabox.cli.options.llama_speculative import REFUSED_SPECULATIVE
from llamabox.cli.options.option import Group, Option

WEB = "there is no web page here; the HTTP API is all there is"
ROUTER = "one process serves one model"
TOOLS = "the server runs no tools and is no MCP client: tools belong to the client"
IMAGES = "image and video input arrive in a later release"
PRESET = "name the model's repository with -hf"
BLOCKS = "equal prefixes share blocks of the KV memory for as long as its room is not needed, so nothing is set aside"

# flags and variables -> why; after "!" flags that only say what is so anyway, which are accepted
REFUSED = {
    "-dr --docker-repo LLAMA_ARG_DOCKER_REPO": "models come from files or Hugging Face (-hf), not from Docker Hub",
    "-mu --model-url LLAMA_ARG_MODEL_URL": "a model is downloaded from Hugging Face (-hf) or given as a file (-m)",
    "--adaptive-target": "there is no adaptive-p sampler here",
    "--adaptive-decay": "there is no adaptive-p sampler here",
    "-bs --backend-sampling LLAMA_ARG_BACKEND_SAMPLING": "tokens are sampled on the CPU",
    "-ctxcp --ctx-checkpoints --swa-checkpoints LLAMA_ARG_CTX_CHECKPOINTS": BLOCKS,
    "-cms --checkpoint-min-step LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT": BLOCKS,
    "-cram --cache-ram LLAMA_ARG_CACHE_RAM": BLOCKS,
    "--cache-idle-slots !--no-cache-idle-slots LLAMA_ARG_CACHE_IDLE_SLOTS": BLOCKS,
    "-mmu --mmproj-url LLAMA_ARG_MMPROJ_URL": IMAGES,
    "--mmproj-auto !--no-mmproj !--no-mmproj-auto LLAMA_ARG_MMPROJ_AUTO": IMAGES,
    "--mmproj-offload !--no-mmproj-offload LLAMA_ARG_MMPROJ_OFFLOAD": IMAGES,
    "-mmdev --mmproj-device MTMD_BACKEND_DEVICE": IMAGES,
    "--image-min-tokens LLAMA_ARG_IMAGE_MIN_TOKENS": IMAGES,
    "--image-max-tokens LLAMA_ARG_IMAGE_MAX_TOKENS": IMAGES,
    "--mtmd-batch-max-tokens LLAMA_ARG_MTMD_BATCH_MAX_TOKENS": IMAGES,
    "--video-fps LLAMA_ARG_VIDEO_FPS": IMAGES,
    "--video-timestamp-interval LLAMA_ARG_VIDEO_TIMESTAMP_INTERVAL": IMAGES,
    "--video-ffmpeg-dir LLAMA_ARG_VIDEO_FFMPEG_DIR": IMAGES,
    "--media-path": IMAGES,
    "--path LLAMA_ARG_STATIC_PATH": WEB,
    "--ui-config --webui-config LLAMA_ARG_UI_CONFIG": WEB,
    "--ui-config-file --webui-config-file LLAMA_ARG_UI_CONFIG_FILE": WEB,
    "--ui --webui !--no-ui !--no-webui LLAMA_ARG_UI": WEB,
    "--ui-mcp-proxy --webui-mcp-proxy !--no-ui-mcp-proxy !--no-webui-mcp-proxy LLAMA_ARG_UI_MCP_PROXY": TOOLS,
    "--tools LLAMA_ARG_TOOLS": TOOLS,
    "--tools-runtime LLAMA_ARG_TOOLS_RUNTIME": TOOLS,
    "--mcp-servers-config LLAMA_ARG_MCP_SERVERS_CONFIG": TOOLS,
    "--mcp-servers-json LLAMA_ARG_MCP_SERVERS_JSON": TOOLS,
    "-ag --agent !-no-ag !--no-agent LLAMA_ARG_AGENT": TOOLS,
    "--ssl-key-file LLAMA_ARG_SSL_KEY_FILE": "the server speaks plain HTTP: put a TLS proxy before it",
    "--ssl-cert-file LLAMA_ARG_SSL_CERT_FILE": "the server speaks plain HTTP: put a TLS proxy before it",
    "--models-dir LLAMA_ARG_MODELS_DIR": ROUTER,
    "--models-preset LLAMA_ARG_MODELS_PRESET": ROUTER,
    "--models-max LLAMA_ARG_MODELS_MAX": ROUTER,
    "--models-autoload !--no-models-autoload LLAMA_ARG_MODELS_AUTOLOAD": ROUTER,
    "--log-prompts-dir": "what clients send is never written to disk",
    "--embd-gemma-default": PRESET,
    "--fim-qwen-1.5b-default": PRESET,
    "--fim-qwen-3b-default": PRESET,
    "--fim-qwen-7b-default": PRESET,
    "--fim-qwen-7b-spec": PRESET,
    "--fim-qwen-14b-spec": PRESET,
    "--fim-qwen-30b-default": PRESET,
    "--gpt-oss-20b-default": PRESET,
    "--gpt-oss-120b-default": PRESET,
    "--vision-gemma-4b-default": PRESET,
    "--vision-gemma-12b-default": PRESET,
    **REFUSED_SPECULATIVE,
}


def _option(names: str, reason: str) -> Option:
    flags = [name for name in names.split() if name.startswith("-")]
    env = next((name for name in names.split() if name[0].isupper()), None)
    opposites = tuple(name[1:] for name in names.split() if name.startswith("!"))
    return Option(flags[0], ", ".join(flags), default=False, env=env, opposites=opposites, refused=reason)


REFUSED_GROUP = Group("", tuple(_option(names, reason) for names, reason in REFUSED.items()))
