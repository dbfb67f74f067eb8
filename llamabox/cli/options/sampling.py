"""server/completion, second part: samplers and grammars. These are the defaults of requests that name no value."""

from llamabox.cli.options.option import Option
from llamabox.cli.options.parsers import (
    SAMPLERS,
    Integer,
    Number,
    Text,
    any_text,
    logit_bias,
    path,
    sampler_letters,
    sampler_names,
)

SHARE = Number(0, 1)
POSITIVE = Number(0, above=True)

SAMPLING = (
    Option(
        "samplers",
        "--samplers SAMPLERS",
        (sampler_names,),
        default=SAMPLERS,
        help="samplers that will be used for generation in the order, separated by ';' "
        "(default: penalties;dry;top_k;typ_p;top_p;min_p;xtc;temperature)",
    ),
    Option(
        "samplers",
        "--sampling-seq SEQUENCE",
        (sampler_letters,),
        default=SAMPLERS,
        help="simplified sequence for samplers that will be used (default: edkypmxt)",
    ),
    Option("temperature", "--temp T", (Number(0),), default=0.8, help="temperature (default: 0.8)"),
    Option("top_k", "--top-k N", (Integer(),), default=40, help="top-k sampling (default: 40, 0 = disabled)"),
    Option("top_p", "--top-p P", (SHARE,), default=0.9, help="top-p sampling (default: 0.9, 1.0 = disabled)"),
    Option("min_p", "--min-p P", (SHARE,), default=0.1, help="min-p sampling (default: 0.1, 0.0 = disabled)"),
    Option(
        "xtc_probability",
        "--xtc-probability N",
        (SHARE,),
        default=0.0,
        help="xtc probability (default: 0.0, 0.0 = disabled)",
    ),
    Option(
        "xtc_threshold",
        "--xtc-threshold N",
        (SHARE,),
        default=0.1,
        help="xtc threshold (default: 0.1, 1.0 = disabled)",
    ),
    Option(
        "typical_p",
        "--typical P",
        (SHARE,),
        default=1.0,
        help="locally typical sampling, parameter p (default: 1.0, 1.0 = disabled)",
    ),
    Option(
        "repeat_last_n",
        "--repeat-last-n N",
        (Integer(-1),),
        default=64,
        help="last n tokens to consider for penalize (default: 64, 0 = disabled, -1 = ctx_size)",
    ),
    Option(
        "repeat_penalty",
        "--repeat-penalty N",
        (POSITIVE,),
        default=1.0,
        help="penalize repeat sequence of tokens (default: 1.0, 1.0 = disabled)",
    ),
    Option(
        "presence_penalty",
        "--presence-penalty N",
        (Number(),),
        default=0.0,
        help="repeat alpha presence penalty (default: 0.0, 0.0 = disabled)",
    ),
    Option(
        "frequency_penalty",
        "--frequency-penalty N",
        (Number(),),
        default=0.0,
        help="repeat alpha frequency penalty (default: 0.0, 0.0 = disabled)",
    ),
    Option(
        "dry_multiplier",
        "--dry-multiplier N",
        (Number(0),),
        default=0.0,
        help="set DRY sampling multiplier (default: 0.0, 0.0 = disabled)",
    ),
    Option(
        "dry_base",
        "--dry-base N",
        (Number(1),),
        default=1.75,
        help="set DRY sampling base value (default: 1.75)",
    ),
    Option(
        "dry_allowed_length",
        "--dry-allowed-length N",
        (Integer(),),
        default=2,
        help="set allowed length for DRY sampling (default: 2)",
    ),
    Option(
        "dry_penalty_last_n",
        "--dry-penalty-last-n N",
        (Integer(-1),),
        default=-1,
        help="set DRY penalty for the last n tokens (default: -1, 0 = disable, -1 = context size)",
    ),
    Option(
        "dry_sequence_breakers",
        "--dry-sequence-breaker N",
        (Text("a sequence"),),
        default=("\n", ":", '"', "*"),
        repeats=True,
        help='add sequence breaker for DRY sampling, clearing out default breakers (\\n;:;";*) in the process; '
        'use "none" to not use any sequence breakers',
    ),
    Option(
        "dynatemp_range",
        "--dynatemp-range N",
        (Number(0),),
        default=0.0,
        help="dynamic temperature range (default: 0.0, 0.0 = disabled)",
    ),
    Option(
        "dynatemp_exponent",
        "--dynatemp-exp N",
        (Number(0),),
        default=1.0,
        help="dynamic temperature exponent (default: 1.0)",
    ),
    Option(
        "mirostat",
        "--mirostat N",
        (Integer(0, 2),),
        default=0,
        help="use Mirostat sampling, Top K, Nucleus, Tail Free and Locally Typical samplers are ignored if used "
        "(default: 0, 0 = disabled, 1 = Mirostat, 2 = Mirostat 2.0)",
    ),
    Option(
        "mirostat_eta",
        "--mirostat-lr N",
        (Number(0),),
        default=0.1,
        help="Mirostat learning rate, parameter eta (default: 0.1)",
    ),
    Option(
        "mirostat_tau",
        "--mirostat-ent N",
        (Number(0),),
        default=5.0,
        help="Mirostat target entropy, parameter tau (default: 5.0)",
    ),
    Option(
        "logit_bias",
        "-l --logit-bias TOKEN_ID(+/-)BIAS",
        (logit_bias,),
        default=(),
        repeats=True,
        help='modifies the likelihood of token appearing in the completion, i.e. "--logit-bias 15043+1" to increase '
        "likelihood of token ' Hello', or \"--logit-bias 15043-1\" to decrease likelihood of token ' Hello'",
        note="may be given again for further tokens",
    ),
    Option(
        "grammar",
        "--grammar GRAMMAR",
        (any_text,),
        default="",
        help="BNF-like grammar to constrain generations (see samples in grammars/ dir) (default: '')",
    ),
    Option(
        "grammar_file",
        "--grammar-file FILE",
        (path,),
        help="file to read grammar from",
    ),
    Option(
        "json_schema",
        "-j, --json-schema SCHEMA",
        (any_text,),
        help="JSON schema to constrain generations (https://json-schema.org/), e.g. `{}` for any JSON object. "
        "For schemas w/ external $refs, use --grammar + example/json_schema_to_grammar.py instead",
        note="an answer is held to one grammar or schema: a request with its own is held to that",
    ),
)
