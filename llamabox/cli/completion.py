"""--completion-bash: a script that lets bash complete the flags."""

from llamabox.cli.options import Table

SCRIPT = """\
_llamabox_options() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}"
    case "$word" in
        -*) COMPREPLY=($(compgen -W "{flags}" -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}}
complete -o filenames -F _llamabox_options llama-box
complete -o filenames -F _llamabox_options llamabox
"""


def bash_completion(table: Table) -> str:
    """The script, to be read by `source <(llama-box --completion-bash)`."""
    groups = (group for group in table.groups if group.title)
    flags = [flag for group in groups for option in group.options for flag in (*option.flags, *option.opposites)]
    return SCRIPT.format(flags=" ".join(dict.fromkeys(flags)))
