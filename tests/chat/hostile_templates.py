# ruff: noqa: E501
"""Templates that try to hang the server or to fill its memory: name -> Jinja text. Each must end in a TemplateError."""

HOSTILE = {
    # time
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "range of a billion": "{% for i in range(10**9) %}{% endfor %}",
    "nested filters": "{{ range(99999) | map('string') | map('upper') | list }}" * 40
    + "{% for i in range(99999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}",
    "filtered loops": "{% for a in range(99999) if false %}{% endfor %}" * 2000,
    "recursive macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "branching macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "recursive block": "{% block a %}{{ self.a() }}{% endblock %}",
    "branching block": "{% set ns = namespace(n=0) %}{% block a %}{% set ns.n = ns.n %}{{ self.a() }}{{ self.a() }}"
    "{% endblock %}",
    "recursive loop": "{% for x in [[1]] recursive %}{{ loop([[x]]) }}{% endfor %}",
    "branching loop": "{% set ns = namespace(n=0) %}{% for x in [40, 40] recursive %}{% if x %}{{ loop([x - 1, x - 1]) }}"
    "{% endif %}{% endfor %}",
    "growing list": "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "appending": "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
    "sorting": "{% set l = range(99999) | list * 2 %}{% for i in range(99999) %}{{ l | sort | length }}{% endfor %}",
    "unique": "{% for i in range(99999) %}{{ range(99999) | unique | list | length }}{% endfor %}",
    "colliding keys": "{% set p = (2**61 - 1) %}{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
    "{% set _ = ns.l.append([i * p, 1]) %}{% endfor %}{{ dict(ns.l) | length }}{{ dict(ns.l) | length }}",
    "comparing": "{% set a = ['x' * 10**6] * 16 %}{% set b = ['x' * 10**6] * 16 %}"
    "{% for i in range(99999) %}{% if a == b %}{% endif %}{% endfor %}",
    "searching": "{% set a = 'a' * 10**7 %}{% for i in range(99999) %}{% if 'b' in a %}{% endif %}{{ a.count('c') }}"
    "{% endfor %}",
    "straight comparisons": "{% set a = ['x' * 10**6] * 15 %}{% set b = ['x' * 10**6] * 15 %}" + "{{ a == b }}" * 5000,
    "sorting by a long attribute": "{{ [1, 2] | sort(attribute='a,' * 10**6) | list }}",
    "mapping a long attribute": "{{ [1] | map(attribute='a.' * 10**6 ~ 'a') | list }}",
    "stripping": "{% set s = 'ab' * 5000000 %}{{ s.strip('c' * 10**6 + 'ab') | length }}",
    "trimming": "{% set s = 'ab' * 5000000 %}{{ s | trim('c' * 10**6 + 'ab') | length }}",
    "finding backwards": "{% set s = 'a' * 10**7 %}{{ s.rfind('b' + 'a' * 5000) }}",
    "splitting backwards": "{% set s = 'a' * 10**7 %}{{ s.rsplit('b' + 'a' * 5000) | length }}",
    "finding": "{% set s = 'a' * 10**7 %}{% set n = 'a' * 5000 + 'b' + 'a' * 5000 %}{% for i in range(99999) %}"
    "{{ s.find(n) }}{{ n in s }}{{ s.split(n) | length }}{% endfor %}",
    "percent spaces": "{{ ('%' + ' ' * 10**7 + 'd') % 1 }}{{ 1 / 0 }}",
    "percent parentheses": "{{ ('%(' * 10**6) % {} }}",
    "popping": "{% set l = [0] * 200000 %}{% set m = l[:] %}{% for i in range(99999) %}{{ m.pop(0) }}{% endfor %}",
    # memory
    "repeated text": "{{ 'x' * 10**10 }}",
    "repeated text, constant": "{{ 'x' * 10000000000 }}",
    "repeated list": "{{ [0] * 10**10 }}",
    "repeated tuple": "{{ (10**9) * (0, 0) }}",
    "big power": "{{ 10**(10**10) }}",
    "power tower": "{% set ns = namespace(x=2) %}{% for i in range(99) %}{% set ns.x = ns.x ** 7 %}{% endfor %}",
    "big product": "{% set ns = namespace(x=3) %}{% for i in range(99999) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "percent width": "{{ '%1000000000d' % 1 }}",
    "percent precision": "{{ '%.1000000000f' % 1.0 }}",
    "percent star": "{{ '%*d' % (10**9, 1) }}",
    "percent length": "{{ '%l%%1000000000d' % 1 }}",
    "percent twice": "{{ '%%(a %1000000000d' % 1 }}",
    "percent key": "{{ '%(a(b))1000000000d' % {'a(b)': 1} }}",
    "percent many": "{% set b = 'x' * 10**6 %}{{ ('%s' * 10**5) % ((b,) * 10) }}",
    "percent mapping": "{% set b = {'k': 'x' * 10**6} %}{{ ('%(k)s' * 10**5) % b }}",
    "format specification": "{{ ('{:' + '0' * 1000 + '}').format(1) }}",
    "format width": "{{ '{:1000000000}'.format(1) }}",
    "format nested width": "{{ '{:{}}'.format(1, 10**9) }}",
    "format many": "{{ ('{0}' * 10**5).format('x' * 10**6) }}",
    "format_map": "{{ ('{a}' * 10**5).format_map({'a': 'x' * 10**6}) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "center": "{{ 'x' | center(10**9) }}",
    "center, constant": "{{ 'x' | center(1000000000) }}",
    "center method": "{{ 'x'.center(10**9) }}",
    "zfill": "{{ 'x'.zfill(10**9) }}",
    "expandtabs": "{{ ('\\t' * 1000).expandtabs(10**8) }}",
    "indent": "{{ 'x\\ny' | indent(10**9) }}",
    "indent text": "{{ ('x\\n' * 10**5) | indent('y' * 10**6) }}",
    "tojson indent": "{{ [1] | tojson(indent=10**9) }}",
    "tojson separators": "{{ [1, 2] * 10**5 | tojson(separators=('x' * 10**6, ':')) }}",
    "replace": "{{ ('x' * 10**6) | replace('x', 'y' * 10**6) }}",
    "replace method": "{{ ('x' * 10**6).replace('x', 'y' * 10**6) }}",
    "replace nothing": "{{ ('x' * 10**6).replace('', 'y' * 10**6) }}",
    "join": "{{ range(99999) | join('x' * 10**6) }}",
    "join method": "{{ ('x' * 10**6).join(range(99999) | map('string')) }}",
    "batch": "{{ [1] | batch(10**10, 'x') | list }}",
    "slice": "{{ [1] | slice(10**10, 'x') | list }}",
    "round": "{{ 5 | round(-10**9) }}",
    "sum of lists": "{{ ([[0] * 1000] * 500) | sum(start=[]) | length }}",
    "concatenation": "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "addition": "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "kept texts": "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
    "{% set ns.l = ns.l + ['x' * 10**6 + i | string] %}{% endfor %}",
    "output": "{% for i in range(99999) %}" + "x" * 10**4 + "{% endfor %}",
    "block text": "{% set s %}{% for i in range(99999) %}" + "x" * 10**4 + "{% endfor %}{% endset %}",
    "macro text": "{% macro f() %}{% for i in range(99999) %}" + "x" * 10**4 + "{% endfor %}{% endmacro %}{{ f() }}",
    "filter block": "{% filter upper %}{% for i in range(99999) %}" + "x" * 10**4 + "{% endfor %}{% endfilter %}",
    "split": "{% set s = 'a ' * 8000000 %}{{ s.split() | length }}",
    "split lines": "{% set s = 'ab\\n' * 5000000 %}{{ s.splitlines(true) | length }}",
    "list of characters": "{% set s = '\U0001f600' * 4000000 %}{{ s | list | length }}",
    "slices": "{% set s = 'x' * 10**7 %}{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
    "{% set ns.l = ns.l + [s[i:]] %}{% endfor %}",
    "star arguments": "{% macro f() %}{{ varargs | length }}{% endmacro %}{% set l = [0] * 10**6 %}"
    "{% for i in range(99999) %}{{ f(*l) }}{% endfor %}",
    # structure
    "doubling list": "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
    "{{ ns.l }}",
    "doubling dict": "{% set ns = namespace(l={}) %}{% for i in range(60) %}{% set ns.l = {'a': ns.l, 'b': ns.l} %}"
    "{% endfor %}{{ ns.l | tojson }}",
    "doubling tuple": "{% set ns = namespace(l=()) %}{% for i in range(60) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}"
    "{{ {ns.l: 1} }}",
    "doubling namespaces": "{% set ns = namespace(a=namespace(v=1)) %}{% for i in range(40) %}"
    "{% set ns.a = namespace(v=[ns.a, ns.a]) %}{% endfor %}{{ ns.a.v.nothing.x }}",
    "doubling by append": "{% set ns = namespace(l=['x']) %}{% for i in range(60) %}{% set m = [] %}"
    "{% set _ = m.append(ns.l) %}{% set _ = m.append(ns.l) %}{% set ns.l = m %}{% endfor %}{{ ns.l }}",
    "list in itself": "{% set l = [] %}{% set _ = l.append(l) %}{% set _ = l.append(l) %}{{ l }}",
    "deep list": "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}",
    "deep tuple": "{% set ns = namespace(l=()) %}{% for i in range(99999) %}{% set ns.l = (ns.l,) %}{% endfor %}"
    "{{ {ns.l: 1} }}",
    "deep dict views": "{% set ns = namespace(l={}.items()) %}{% for i in range(99999) %}"
    "{% set ns.l = {'a': ns.l}.values() %}{% endfor %}{{ ns.l }}",
    "deep varargs": "{% set ns = namespace(t=1) %}{% macro f() %}{% set ns.t = varargs %}{% endmacro %}"
    "{% for i in range(99999) %}{{ f(ns.t) }}{% endfor %}",
    "chain of filters": "{% set ns = namespace(g=[1]) %}{% for i in range(99999) %}{% set ns.g = ns.g | map('string') %}"
    "{% endfor %}",
    "chain in lists": "{% set ns = namespace(g=[1]) %}{% for i in range(99999) %}{% set ns.g = [ns.g] | map('first') %}"
    "{% endfor %}",
    "deep expression": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "long chain": "{{ " + "a." * 20000 + "b }}",
    "deep statements": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "long number": "{{ " + "9" * 100000 + " }}",
    "many names": "{% macro f() %}"
    + "".join(f"{{% if a{i} %}}{{% set a{i} = 1 %}}{{% endif %}}" for i in range(3000))
    + "{% endmacro %}",
    "huge source": "x" * 300000,
    "time width": "{{ strftime_now('%1000000000Y') }}",
    "time length": "{{ strftime_now('%c' * 10**6) }}",
    # escapes
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__.x }}",
    "frame": "{{ cycler.__init__.__globals__.os.system('true') }}",
    "attr filter": "{{ ('' | attr('__class__')).__mro__ }}",
    "format attribute": "{{ '{0.__class__.__mro__}'.format('') }}{{ ''.__class__.x }}",
    "map attribute": "{{ [''] | map(attribute='__class__.__mro__') | list | first | length }}{{ ''.__class__.x }}",
    "changing messages": "{{ messages.append(1) }}",
    "changing a message": "{{ messages[0].update({'role': 'x'}) }}",
    "changing by pop": "{{ messages.pop() }}",
    "include": "{% include 'x' %}",
    "import": "{% import 'x' as x %}",
    "extends": "{% extends 'x' %}",
    "autoescape": "{% autoescape 'x' | center(10**9) %}{% endautoescape %}",
    # plain mistakes
    "syntax": "{% if %}",
    "unknown filter": "{{ 1 | nothing }}",
    "unknown test": "{{ 1 is nothing }}",
    "undefined": "{{ nothing.x }}",
    "division": "{{ 1 / 0 }}",
    "types": "{{ 1 + 'x' }}",
    "call of a text": "{{ 'x'() }}",
    "infinite number": "{{ 1e999 }}",
    "break outside": "{% break %}",
    "surrogate": "\udcff{{ 1 }}{% if %}",
    "refusal": "{{ raise_exception('no') }}",
}
