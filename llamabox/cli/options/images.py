"""server/images: image generation."""

from llamabox.cli.options.option import Group, Option
from llamabox.cli.options.parsers import Choice, Integer, Number, path

SHARE = Number(0, 1)


def side(text: str) -> int:
    """The length of one side of an image, in pixels."""
    expected = "a multiple of 64 that is larger than 256 and at most 16384"
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 256 < value <= 16384 or value % 64:
        raise ValueError(expected)
    return value


LIMITS = (
    Option(
        "image_max_batch",
        "--image-max-batch N",
        (Integer(1),),
        default=4,
        help="maximum batch count (default: 4)",
    ),
    Option(
        "image_max_height",
        "--image-max-height N",
        (side,),
        default=1024,
        help="image maximum height, in pixel space, must be larger than 256 and be multiples of 64 (default: 1024)",
    ),
    Option(
        "image_max_width",
        "--image-max-width N",
        (side,),
        default=1024,
        help="image maximum width, in pixel space, must be larger than 256 and be multiples of 64 (default: 1024)",
    ),
)

SAMPLING = (
    Option(
        "image_guidance",
        "--image-guidance N",
        (Number(0),),
        default=3.5,
        help="the value of guidance during the computing phase (default: 3.500000)",
    ),
    Option(
        "image_strength",
        "--image-strength N",
        (SHARE,),
        help="strength for noising, range of [0.0, 1.0], automatically retrieve the default value according to --model",
    ),
    Option(
        "image_sample_method",
        "--image-sample-method, --image-sampler TYPE",
        (Choice("euler_a", "euler", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v", "lcm"),),
        help="sample method that will be used for generation, automatically retrieve the default value according to "
        "--model, allowed values: euler_a, euler, heun, dpm2, dpm++2s_a, dpm++2m, dpm++2mv2, ipndm, ipndm_v, lcm",
    ),
    Option(
        "image_sampling_steps",
        "--image-sampling-steps, --image-sample-steps N",
        (Integer(1),),
        help="number of sampling steps, automatically retrieve the default value according to --model, "
        "and +2 when requesting high definition generation",
    ),
    Option(
        "image_cfg_scale",
        "--image-cfg-scale N",
        (Number(0),),
        help="the scale of classifier-free guidance(CFG), automatically retrieve the default value according to "
        "--model (1.0 = disabled)",
    ),
    Option(
        "image_slg_scale",
        "--image-slg-scale N",
        (Number(0),),
        help="the scale of skip-layer guidance(SLG), only for DiT model, automatically retrieve the default value "
        "according to --model (0.0 = disabled)",
    ),
    Option(
        "image_slg_skip_layers",
        "--image-slg-skip-layer N",
        (Integer(),),
        default=(7, 8, 9),
        repeats=True,
        help="the layers to skip when processing SLG, may be specified multiple times. (default: 7;8;9)",
    ),
    Option(
        "image_slg_start",
        "--image-slg-start N",
        (SHARE,),
        default=0.01,
        help="the phase to enable SLG (default: 0.01)",
    ),
    Option(
        "image_slg_end",
        "--image-slg-end N",
        (SHARE,),
        default=0.2,
        help="the phase to disable SLG (default: 0.20)\n"
        "SLG will be enabled at step int([STEP]*[--image-slg-start]) and disabled at int([STEP]*[--image-slg-end])",
    ),
    Option(
        "image_schedule_method",
        "--image-schedule-method, --image-schedule TYPE",
        (Choice("default", "discrete", "karras", "exponential", "ays", "gits"),),
        default="default",
        help="denoiser sigma schedule method, allowed values: default, discrete, karras, exponential, ays, gits "
        "(default: default)",
    ),
)

COMPONENTS = (
    Option(
        "image_text_encoder_offload",
        "--image-no-text-encoder-model-offload",
        const=False,
        default=True,
        help="disable text-encoder(clip-l/clip-g/t5xxl) model offload",
    ),
    Option(
        "image_clip_l_model",
        "--image-clip-l-model PATH",
        (path,),
        help="path to the CLIP Large (clip-l) text encoder, or use --model included",
    ),
    Option(
        "image_clip_g_model",
        "--image-clip-g-model PATH",
        (path,),
        help="path to the CLIP Generic (clip-g) text encoder, or use --model included",
    ),
    Option(
        "image_t5xxl_model",
        "--image-t5xxl-model PATH",
        (path,),
        help="path to the Text-to-Text Transfer Transformer (t5xxl) text encoder, or use --model included",
    ),
    Option(
        "image_vae_offload",
        "--image-no-vae-model-offload",
        const=False,
        default=True,
        help="disable vae(taesd) model offload",
    ),
    Option(
        "image_vae_model",
        "--image-vae-model PATH",
        (path,),
        help="path to Variational AutoEncoder (vae), or use --model included",
    ),
    Option(
        "image_vae_tiling",
        "--image-vae-tiling",
        default=False,
        help="indicate to process vae decoder in tiles to reduce memory usage (default: disabled)",
    ),
    Option(
        "image_vae_tiling",
        "--image-no-vae-tiling",
        const=False,
        default=False,
        help="disable vae decoder in tiles",
    ),
    Option(
        "image_taesd_model",
        "--image-taesd-model PATH",
        (path,),
        help="path to Tiny AutoEncoder For StableDiffusion (taesd), or use --model included",
    ),
    Option(
        "image_upscale_model",
        "--image-upscale-model PATH",
        (path,),
        help="path to the upscale model, or use --model included",
    ),
    Option(
        "image_upscale_repeats",
        "--image-upscale-repeats N",
        (Integer(1, 16),),
        default=1,
        help="how many times to run upscaler (default: 1)",
    ),
    Option(
        "image_control_net_offload",
        "--image-no-control-net-model-offload",
        const=False,
        default=True,
        help="disable control-net model offload",
    ),
    Option(
        "image_control_net_model",
        "--image-control-net-model PATH",
        (path,),
        help="path to the control net model, or use --model included",
    ),
    Option(
        "image_control_strength",
        "--image-control-strength N",
        (Number(0),),
        default=0.9,
        help="how strength to apply the control net (default: 0.900000)",
    ),
    Option(
        "image_control_canny",
        "--image-control-canny",
        default=False,
        help="indicate to apply canny preprocessor (default: disabled)",
    ),
    Option(
        "image_free_compute_memory",
        "--image-free-compute-memory-immediately",
        default=False,
        help="indicate to free compute memory immediately, which allow generating high resolution image "
        "(default: disabled)",
    ),
)

IMAGES = Group("server/images", LIMITS + SAMPLING + COMPONENTS, later="images arrive in a later release")
