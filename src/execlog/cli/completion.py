"""The completion scripts of shells, made from the parsers of all commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from execlog.cli.catalogue import ENTRIES
from execlog.cli.main import command_parser
from execlog.cli.parser import Parser

_PLACE = "@place@"
"""Stands for the --home and --store that were typed, each shell having words of its own for them."""
_IDS = f"execlog {_PLACE} list --no-header -n 50 2>/dev/null | cut -f 1"
_JOBS = f"execlog {_PLACE} jobs list --no-header 2>/dev/null | cut -f 1"
_ALERTS = f"execlog {_PLACE} alerts --no-header 2>/dev/null | cut -f 1"
_DYNAMIC = {"ID": _IDS, "JOB": _JOBS, "ALERT": _ALERTS}


class Option(NamedTuple):
    """An option: its spellings, what it does, whether it takes a value, and which words that may be."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    words: tuple[str, ...]


class Node(NamedTuple):
    """A command or subcommand; `path` is how it is called, `arguments` prints what its positional arguments may be."""

    path: tuple[str, ...]
    summary: str
    options: tuple[Option, ...]
    children: tuple[str, ...]
    arguments: str | None


def nodes() -> list[Node]:
    """Every command and subcommand."""
    return [node for name, entry in ENTRIES.items() for node in _walk((name,), entry.summary, command_parser(name))]


def bash() -> str:
    """The script for bash."""
    cases = "\n".join(_bash_case(node) for node in nodes())
    return _BASH.format(commands=_quoted("\n".join(ENTRIES)), cases=cases).replace(_PLACE, '"${place[@]}"')


def zsh() -> str:
    """The script for zsh."""
    commands = "\n".join(f"    {_quoted(f'{entry.name}:{entry.summary}')}" for entry in ENTRIES.values())
    cases = "\n".join(_zsh_case(node) for node in nodes())
    return _ZSH.format(commands=commands, cases=cases).replace(_PLACE, "$place")


def fish() -> str:
    """The script for fish."""
    lines = [_FISH, "complete -c execlog -f"]
    start = "complete -c execlog -n __fish_use_subcommand -a"
    lines += [f"{start} {entry.name} -d {_quoted(entry.summary)}" for entry in ENTRIES.values()]
    for node in nodes():
        lines += _fish_lines(node)
    return "\n".join(lines).replace(_PLACE, "(__execlog_place)") + "\n"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def _walk(path: tuple[str, ...], summary: str, parser: Parser) -> Iterator[Node]:
    children = parser.subcommands()
    positional = next((action for action in parser.arguments() if not action.option_strings), None)
    words = " ".join(map(str, positional.choices)) if positional and positional.choices else ""
    metavar = str(positional.metavar) if positional else ""
    source = f"printf '%s\\n' {words}" if words else _DYNAMIC.get(metavar)
    yield Node(path, summary, tuple(_options(parser)), tuple(children), source)
    for name, child in children.items():
        yield from _walk((*path, name), child.description or "", child)


def _options(parser: Parser) -> Iterator[Option]:
    for action in parser.arguments():
        if action.option_strings:
            words = next((parser.words[name] for name in action.option_strings if name in parser.words), ())
            help_ = (action.help or "").replace("%%", "%")
            yield Option(tuple(action.option_strings), help_, action.nargs != 0, words)


def _bash_case(node: Node) -> str:
    names = " ".join(name for option in node.options for name in option.names if name.startswith("--"))
    words = [
        f"        {'|'.join(option.names)}) words={_quoted(' '.join(option.words))};;"
        for option in node.options
        if option.words
    ]
    files = "|".join(
        name for option in node.options if option.takes_value and not option.words for name in option.names
    )
    lines = [
        f"    {_quoted(' '.join(node.path))})",
        f"      options={_quoted(names)}",
        '      case "$previous" in',
        *words,
    ]
    if files:
        lines.append(f"        {files}) value=1;;")
    lines.append("      esac")
    if node.children:
        lines.append(f"      arguments={_quoted(chr(10).join(node.children))}")
    elif node.arguments:
        lines.append(f'      [[ $current == -* || -n $words || -n $value ]] || arguments="$({node.arguments})"')
    return "\n".join([*lines, "      ;;"])


def _zsh_case(node: Node) -> str:
    specs: list[str] = []
    for option in node.options:
        label = option.help.replace("[", "(").replace("]", ")").replace(":", " ")
        value = f":value:({' '.join(option.words)})" if option.words else ":value:_files" if option.takes_value else ""
        specs += [_quoted(f"{name}[{label}]{value}") for name in option.names]
    if node.children:
        specs.append(_quoted(f"1:command:({' '.join(node.children)})"))
    elif node.arguments:
        specs.append(_quoted('*:argument:{compadd -- ${(f)"$(' + node.arguments + ')"}}'))
    body = " \\\n        ".join(specs)
    return f"    {_quoted(' '.join(node.path))})\n      _arguments \\\n        {body}\n      ;;"


def _fish_lines(node: Node) -> Iterator[str]:
    seen = " and ".join(f"__fish_seen_subcommand_from {name}" for name in node.path).replace(" and ", "; and ")
    start = f"complete -c execlog -n {_quoted(seen)}"
    for option in node.options:
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
        value = f" -x -a {_quoted(' '.join(option.words))}" if option.words else " -r" if option.takes_value else ""
        yield f"{start} {names} -d {_quoted(option.help)}{value}"
    if node.children:
        yield f"{start} -a {_quoted(' '.join(node.children))}"
    elif node.arguments:
        yield f"{start} -a {_quoted(f'({node.arguments})')}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_BASH = """\
# bash completion for execlog
_execlog() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="" options="" words="" arguments="" value="" word number joined=""
  local -a typed=() place=()
  # Where : and = break words, as they do by default, a URL comes in pieces.
  for ((number = 1; number < COMP_CWORD; number++)); do
    word="${{COMP_WORDS[number]}}"
    if [[ -n $joined || ( $word == [:=]* && ${{#typed[@]}} -gt 0 ) ]]; then
      typed[${{#typed[@]}}-1]+="$word"
    else
      typed+=("$word")
    fi
    [[ $word == [:=]* ]] && joined=1 || joined=""
  done
  for ((number = 0; number < ${{#typed[@]}}; number++)); do
    word="${{typed[number]}}"
    case "$word" in
      --) [[ "$command" == run ]] && {{ _execlog_offer "$(compgen -c -- "$current")"; return; }} ;;
      --home | --store)
        ((++number))
        [[ -n ${{typed[number]:-}} ]] && place+=("$word" "$(_execlog_plain "${{typed[number]}}")") ;;
      --home=* | --store=*) place+=("$(_execlog_plain "$word")") ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then command="$word"; elif [[ $command == jobs ]]; then command="jobs $word"; fi ;;
    esac
  done
  case "$command" in
    '') arguments={commands} ;;
{cases}
  esac
  if [[ -n $words ]]; then
    _execlog_offer "${{words// /$'\n'}}"
  elif [[ -n $value ]]; then
    _execlog_offer "$(compgen -f -- "$current")"
  elif [[ $current == -* ]]; then
    _execlog_offer "${{options// /$'\n'}}"
  else
    _execlog_offer "$arguments"
  fi
}}
# Prints a word as it was meant, without its quotes and with its ~; nothing else in it is expanded.
_execlog_plain() {{
  local word=${{1//[\\"\\']/}}
  [[ $word == "~/"* ]] && word="$HOME/${{word:2}}"
  printf %s "$word"
}}
# Offers those of these lines that begin with $current. They may be anybody's: compgen -W would run the $(...) in them.
_execlog_offer() {{
  local line quoted
  while IFS= read -r line; do
    printf -v quoted %q "$line"
    [[ -n $line && ( $line == "$current"* || $quoted == "$current"* ) ]] && COMPREPLY+=("$quoted")
  done <<< "$1"
}}
complete -F _execlog execlog
"""

_FISH = """\
# fish completion for execlog
function __execlog_place
  set -l option
  for word in (commandline -opc)
    if test -n "$option"
      printf '%s\\n' $option (string replace -r '^~/' $HOME/ -- $word)
      set option
    else if contains -- $word --home --store
      set option $word
    else if string match -q -r '^--(home|store)=' -- $word
      printf '%s\\n' $word
    end
  end
end"""

_ZSH = """\
#compdef execlog
_execlog() {{
  local -a commands
  commands=(
{commands}
  )
  local -a place
  local command="" word
  integer number at
  for (( number = 2; number < CURRENT; number++ )); do
    word="$(_execlog_plain "${{words[number]}}")"
    case "$word" in
      --home | --store)
        (( ++number < CURRENT )) || {{ _files; return }}
        place+=("$word" "$(_execlog_plain "${{words[number]}}")") ;;
      --home=* | --store=*) place+=("$word") ;;
      --) break ;;
      -*) ;;
      *) [[ -n $command ]] || {{ command="$word"; at=number }} ;;
    esac
  done
  if [[ -z $command ]]; then
    _describe command commands
    return
  fi
  shift $(( at - 1 )) words; (( CURRENT -= at - 1 ))
  if [[ $command == jobs && CURRENT -gt 2 ]]; then
    command="jobs ${{words[2]}}"
    shift words; (( CURRENT-- ))
  fi
  case "$command" in
{cases}
  esac
}}
# Prints a word as it was meant, without its quotes and with its ~; nothing else in it is expanded.
_execlog_plain() {{
  local word="${{(Q)1}}"
  [[ $word == "~/"* ]] && word="$HOME/${{word[3,-1]}}"
  print -rn -- "$word"
}}
compdef _execlog execlog
"""
