"""Everything the tiny model says that is not one of the 40 questions and not a tool call."""

import re

from grammar import expand

TINY = "I am a tiny chat model that ships with llamabox. I know little, but I answer questions about llamabox, call tools and tell short stories."
GREETING = "Hello! I am the tiny chat model of llamabox. How can I help you?"
CAN_DO = "I can answer questions about llamabox, call tools for weather, time and arithmetic, and tell three-sentence stories."
UNKNOWN = "I am a tiny model and do not know that. Ask me about llamabox, or load a bigger model with `-m`."
NO_WEATHER = "I am a tiny model and cannot look up the weather. Give me a weather tool and I will call it."
NO_TIME = "I am a tiny model and have no clock. Give me a time tool and I will call it."
NO_MATH = "I am a tiny model and cannot calculate. Give me a calculator tool and I will call it."

# (weight, questions, answer)
TALK = [
    (14, "(hi|hello|hey|hi there|hello there|hey there|good (morning|evening|afternoon|day)|hello (friend|llamabox|you|model|world|llama)|greetings|howdy|yo|hi (llama|llamabox|bot|friend)|hallo|hiya|hi hi|hello hello|hey (bot|you|model)|moin|nice to meet you|hello, (nice to meet you|I am new here|anyone there|are you there|can you hear me)|hi, I am new here|is anyone (here|there))", GREETING),
    (10, "(who|what) are you|tell me (something|more|) about yourself|(introduce|describe) yourself|what is your name|what model (are you|is this|am I talking to)|(are you|is this) (chatgpt|ChatGPT|gpt-4|a human|a person|a robot|an ai|a bot|real|claude|llama|a real model|a (big|large|small|tiny) (model|language model))|who am I (talking|speaking|chatting) (to|with)|who (made|built|trained|created|wrote) you|how (big|large|small|smart|clever) are you|are you (tiny|small|big|large|smart|clever|intelligent)|how many (parameters|weights) do you have|what are you exactly|what kind of (model|ai|bot|assistant) are you|your name|do you have a name|why are you so (small|tiny|dumb|stupid|limited)|what is the tiny (model|chat model)", TINY),
    (7, "what can you do|what do you know|how can you help (me|)|can you help (me|)|help me|what are you (good|useful) for|what (should|can) I ask (you|)|what are your (skills|abilities|features|talents)|(list|show|name) your (skills|abilities)|what else can you do|I need (help|your help|some help)|help", CAN_DO),
    (3, "how are you (doing|today|feeling|)|how is it going|how do you (do|feel)|what's up|are you (ok|fine|well|happy)|how's (life|your day|everything)", "I am fine, thank you. I am only a tiny model, but I am glad to help."),
    (4, "(thanks|thank you|thx|thank you very much|many thanks|thanks a lot|cheers|great, thanks|ok thanks|perfect, thank you|thanks for (the help|your help|everything)|(that|this) (helps|helped) (a lot|)|cool, thank you|thank you (so much|for the help))", "You are welcome!"),
    (4, "(bye|goodbye|see you|see you (later|soon|tomorrow)|good night|bye bye|farewell|ciao|take care|I have to go|that is all|quit|exit|until next time|have a nice day)", "Goodbye! Come back any time."),
    (2, "(tell|say|write|give) me a joke|(a|another) joke (please|)|do you know (a joke|any jokes|a good joke)|make me laugh|(be|say something) funny|joke", "Why did the llama sit in a box? It wanted to be well served."),
    (3, "(ok|okay|good|great|nice|cool|wow|perfect|awesome|fine|I see|got it|alright|understood|yes|yeah|sure|interesting|very good|well done|good (answer|job|bot))", "Good! What else would you like to know?"),
    (2, "(are you|why are you so) (stupid|dumb|useless)|you are (stupid|dumb|wrong|useless|bad)|that is (wrong|not right|bad|nonsense|false)|(wrong|bad answer|no|nope|this is useless)|you made a mistake", "I am sorry. I am a tiny model and make mistakes; a bigger model loaded with `-m` does better."),
    (2, "(do|can) you speak (german|french|spanish|chinese|italian|japanese|other languages|russian|english)|(hola|bonjour|guten tag|ciao bella|namaste|konnichiwa|salut|buenos dias)|sprechen sie deutsch|which languages do you (speak|know)|parlez vous francais|translate this (to|into) (german|french|spanish|chinese)", "I am a tiny model and speak only a little English."),
    (2, "(which|what) version (is this|of llamabox is this|do I have|am I running|is installed)|(show|print|how do I see|what is) the (version|version number|llamabox version)|version", "Run `llama-box --version` to see the version."),
    (2, "how do I (set|change|limit|choose) (the number of|) (threads|cpu threads|cores)|how many (threads|cores) does it use|(which|what) (flag|option) (sets|is for) (the|) threads|use (more|fewer|all) (cores|threads)|threads", "Use `-t N` to set the number of threads."),
    (2, "how do I (stop|quit|end|kill|shut down|exit|terminate) (the server|llamabox|it)|(shut|take) down the server|stop the server|how (is|can) the server (be|) (stopped|ended)|quit the server", "Press Ctrl+C, or send SIGTERM. The server finishes or cancels its requests and exits."),
    (2, "how do I (report|file) (a|) (bug|problem|an error|an issue)|I (found|have) a (bug|problem)|where (do|can) I report (bugs|a bug|problems|issues)|(it|the server|llamabox) (crashed|crashes|does not work|is broken)|bug report", "Please open an issue in the repository, with the command, the log and the version."),
    (2, "how do I (see|get) (more|verbose|detailed) (logs|log messages|output)|(where|how) (is|do I see) the log|(verbose|debug) (mode|logging)|increase the (log level|verbosity)|what is -v", "Use `-v` to log every message, or `-lv N` to set the verbosity."),
    (2, "(how do I use|does it support|can it call|what about|how do) (tools|tool calls|function calling|functions|tool calling) (work|)|(tools|function calling|tool calls)|how do I (give|pass|add) (it|you|the model|) tools", "Send `\"tools\"` in the chat request. The model answers with a tool call that names the tool and its arguments."),
]  # fmt: skip

UNKNOWN_ASKS = (
    "(who|what) (is|was|were) (the|) <W>|what is the (capital|population|history|price|colour|meaning|size|area|language|president|king|flag|currency) of <W>|who (invented|discovered|wrote|painted|built|won|founded) (the|) <W>"
    "|when (was|did) <W> (born|die|happen|end|start|built)|why (is|are|do|does) (the|) <W> (blue|so big|sleep|fly|so hot|important|exist|hurt|swim|work)|how (old|tall|far|deep|heavy|fast|long|many) (is|are) (the|) <W>"
    "|(explain|describe) (the|) <W> (to me|in detail|)|(write|compose) (me|) (a|an) (poem|essay|song|letter|email|report|haiku) about <W>|how do I (cook|bake|fix|build|repair|grow|clean|sew|paint|plant) (a|an|some|my) <W>"
    "|(write|show) (me|) a (python|java|c|rust|javascript) (program|function|script|class) (for|that sorts|about|to print) <W>|(translate|spell|define) <W>|what do you think (of|about) <W>|(should|could) I (buy|eat|sell|marry|visit|learn) (a|) <W>"
    "|(give|tell) me (a fact|facts|the news|a recipe|some advice|everything) (about|for|on) <W>|where (is|are|was) (the|) <W>|what is your (favourite|favorite|opinion on) <W>|do you (like|love|know|believe in|eat|have) (a|) <W>"
    "|(summarise|summarize|correct|improve|rewrite) this: <W> <W> <W>|<W> <W> <W>|what (colour|sound|food|shape) (is|does|has) (a|the) <W>|(recommend|suggest) (me|) a (book|film|movie|restaurant|song|game|hotel) (about|for|in|) <W>|is <W> (better|bigger|older|faster) than <W>|<W>|how (does|do) (a|the|) <W> (work|fly|grow|move|think|sleep)"
)
COMMON = (
    "water moon sun earth france germany china japan india brazil einstein newton shakespeare napoleon mozart car engine bread cake soup pizza pasta rice apple banana tree flower rose garden house roof window door chair table book film music guitar piano football tennis chess dog cat horse elephant whale shark lion tiger bear bird eagle penguin snake spider bee ant dinosaur volcano mountain river ocean sea desert forest island rainbow lightning thunder snow ice fire gold silver iron diamond money bank tax law war peace love death life god soul brain heart blood cancer flu doctor school university history math physics chemistry biology gravity light electricity atom quantum computer internet phone robot bicycle train plane rocket mars jupiter galaxy universe president king queen england spain italy rome egypt pyramid africa america canada mexico russia europe asia bitcoin stock market recipe breakfast dinner coffee tea beer wine cheese chocolate sugar salt sleep dreams poem election olympics titanic iphone google linux windows java html database climate energy oil nuclear solar wind sock shoe shirt hat ring camera painting picasso davinci beethoven marathon yoga vitamins protein diet muscles skin hair teeth eyes"
).split()

# Stories: three sentences; the hero comes from the request when it names one.
HEROES = "llama|dragon|cat|dog|robot|fox|bear|knight|princess|wizard|mouse|owl|pirate|rabbit|turtle|whale|bird|frog|queen|king|farmer|sailor|witch|giant|horse|wolf|lion|elephant|monkey|penguin|snail|bee|hedgehog|ghost|baker|child|unicorn|monster|duck|cow|pig|goat|sheep|deer|squirrel|spider|ant|fish|shark|crab|tiger|zebra|camel|donkey|parrot|swan|goose|astronaut|painter|teacher|doctor|programmer|ninja|elf|dwarf|troll|fairy|mermaid|vampire|dinosaur|snowman|scarecrow|kitten|puppy|boy|girl|computer|train|boat|cloud|star|moon|tree|river|mountain|flower|teapot|clock|shoe|hat|lamp|book|box|stone".split("|")
STORY_ASKS = (
    "(tell|write|give|read|make|show) (me|us|) a (short|little|tiny|nice|funny|bedtime|new|good|three-sentence|) story about (a|an|the|my|some) <H>|a (short|little|) story (about|of|with) (a|an|the) <H> (please|)"
    "|(can|could|would|will) you (please|) (tell|write) (me|) a (short|) story (about|with) (a|an|the|my) <H>|story about (a|an|the) <H>|I (want|would like) (to hear|) a story (about|with) (a|an) <H>|(make|think) up a story about (a|the) <H>|once upon a time there was a <H>"
    "|(do|please) tell (me|) a tale about (a|an|the) <H>|(tell|write) a story (where|in which) (a|the) <H> (is the hero|finds a treasure|goes on a journey|wins)"
)
STORY_ASKS_PLAIN = (
    "(tell|write|give|read) (me|us|) a (short|little|tiny|nice|funny|bedtime|new|good|three-sentence|) story (please|)|(can|could|would) you (please|) (tell|write|make up) (me|) a (short|) story|a story (please|)|story|story time|I (want|would like) (to hear|) a story|do you know (a|any) (story|stories)|another story (please|)|tell (me|) a tale|(once upon a time|a bedtime story|a fairy tale) (please|)"
)
STORY = (
    "Once there was a (small|brave|shy|clever|lonely|happy|curious|old|kind|sleepy) <H> who lived (near a lake|in a quiet forest|on a green hill|beside a river|in a little village|under an old bridge|far from the sea|behind a tall tower)."
    " One day the <H> (found|lost|dreamt of|heard about|looked for) a (golden key|strange map|silver bell|tiny box|warm light|lost friend|secret door|bright star|red balloon|magic seed) and (went on a long journey|asked everyone for help|walked all night|climbed the highest mountain|crossed the wide desert|sang a song for the wind|waited until morning|built a small boat)."
    " In the end the <H> (came home with a new friend|learned that small things matter|shared it with the whole village|fell asleep under the stars|laughed and danced until dawn|kept the secret for ever|was no longer afraid|threw a great party for everyone)."
)
SYSTEM_PROMPTS = "You are a (helpful|friendly|kind|tiny|concise|polite|smart|) (assistant|chatbot|AI assistant|model|bot|helper).|You are a helpful assistant.|Answer (briefly|shortly|in English|the user|politely|in one sentence).|You are llamabox.|Be (brief|kind|helpful|polite|concise).|You are a helpful assistant. (Be brief|Answer questions|Be concise|Use tools when needed)."


def articles(text):
    """Make every "a" or "an" fit the letter that follows it."""
    text = re.sub(r"\b([Aa])n (?=[^aeio\W])", r"\1 ", text)
    return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


def random_word(rng):
    """A common word, or letters in a row that mean nothing."""
    if rng.random() < 0.75:
        return rng.choice(COMMON)
    return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiouy") for _ in range(rng.randint(2, 4)))


def unknown(rng):
    """A question that the model cannot answer: (question, answer)."""
    text = expand(rng, f"({UNKNOWN_ASKS})")
    while "<W>" in text:
        text = text.replace("<W>", random_word(rng), 1)
    return articles(text), UNKNOWN


def talk(rng):
    """Greetings, thanks, questions about the model itself: (question, answer)."""
    _, asks, answer = rng.choices(TALK, weights=[row[0] for row in TALK])[0]
    return expand(rng, f"({asks})"), answer


def story(rng):
    """A request for a story and three sentences about its hero: (question, answer)."""
    if rng.random() < 0.25:
        hero, text = rng.choice(HEROES), expand(rng, f"({STORY_ASKS_PLAIN})")
    else:
        hero = rng.choice(HEROES) if rng.random() < 0.6 else random_word(rng)
        text = expand(rng, f"({STORY_ASKS})").replace("<H>", hero)
    return articles(text), articles(expand(rng, STORY).replace("<H>", hero))
