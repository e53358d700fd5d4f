"""How what somebody wrote is called: `score(batch)`, or `reward(prompts, completions, **columns)` as TRL calls it."""

import asyncio
import difflib
import inspect

# What every item has, as columns.
COLUMNS = ("prompts", "completions", "images", "references", "class_names")
# What a trainer in Python has, and a run does not pass on.
ELSEWHERE = ("completion_ids", "completions_ids", "trainer_state", "log_extra", "log_metric")


def takes_columns(scorer):
    """Whether it wants columns and not a batch: one of its parameters is called `completions`."""
    return "completions" in _parameters(_scoring(scorer))


def needs_of(scorer):
    """What the names of its parameters say that an item must have."""
    named = _parameters(_scoring(scorer)) if takes_columns(scorer) else ()
    return [need for need, column in (("image", "images"), ("reference", "references")) if column in named]


def refuse(scorer):
    """Raises TypeError for what no run can call."""
    parameters = _parameters(_scoring(scorer))
    missing = [name for name, p in parameters.items() if name in ELSEWHERE and p.default is p.empty]
    if missing:
        raise TypeError(
            f"@reward: expected a function of prompts and completions, got one that needs {', '.join(missing)}, which a run "
            "does not pass on"
        )
    if not takes_columns(scorer) and _first(parameters) is None:
        raise TypeError("@reward: expected a parameter `batch`, or `completions` as TRL has it, got neither")


def bind(scorer, settings, base, chat=None):
    """A function of a batch that gives the answer, with `settings` in their places."""
    columns = takes_columns(scorer)
    if inspect.isclass(scorer):
        call, constants = _scoring(scorer(**_settings(scorer, settings, base))), {}
    else:
        call = _scoring(scorer)
        reserved = COLUMNS if columns else (_first(_parameters(call)),)
        constants = _settings(call, settings, base, reserved, columns)
    parameters, loop = _parameters(call), _Loop()
    if not columns:
        return lambda batch: loop.result(call(batch, **constants))
    chat = _is_chat(parameters["completions"]) if chat is None else chat
    return lambda batch: loop.result(call(**_columns(batch, parameters, constants, chat)))


def _scoring(scorer):
    """What scores: a method `score`, what a class's instances are called by, or the function itself."""
    if hasattr(scorer, "score"):
        return scorer.score
    return scorer.__call__ if inspect.isclass(scorer) else scorer


def _parameters(call):
    """Its parameters by their names; those of a class's method without the instance."""
    parameters = dict(inspect.signature(call).parameters)
    parameters.pop("self", None)
    return parameters


def _first(parameters):
    """The name of the parameter that a batch would be given to, or None."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return next((name for name, p in parameters.items() if p.kind in kinds), None)


def _settings(call, settings, base, reserved=(), columns=False):
    """`settings` as keywords of `call`, and `base` where it asks for that. Parameters that are `reserved` are no settings; where
    it takes `columns`, others may be parameters of the tasks, and `**kwargs` is for those alone.
    """
    parameters = {name: p for name, p in _parameters(call).items() if name not in reserved}
    keywords = [n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [name for name in keywords if name != "base"]
    takes_any = not columns and any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in settings:
        if key not in named and not takes_any:
            near = difflib.get_close_matches(key, named, 1)
            known = ", ".join(f"`{name}`" for name in named) or "none"
            raise TypeError(f"unknown setting `{key}`{f'; did you mean `{near[0]}`?' if near else ''} (known: {known})")
    missing = [name for name in named if parameters[name].default is inspect.Parameter.empty and name not in settings]
    if missing and not columns:
        raise TypeError(f"the setting `{missing[0]}` is missing; it has no default")
    return {**settings, **({"base": base} if "base" in keywords else {})}


def _is_chat(parameter):
    """Whether completions are lists of messages, as the annotations of TRL's own functions say."""
    return "dict" in str(parameter.annotation).lower()


def _columns(batch, parameters, constants, chat):
    """One list for each thing that an item has and for each parameter of the tasks."""
    params = [item.params or {} for item in batch]
    keys = dict.fromkeys(key for of_item in params for key in of_item)
    columns = {key: [of_item.get(key) for of_item in params] for key in keys}
    message = (lambda role, text: [{"role": role, "content": text}]) if chat else (lambda role, text: text)
    columns["prompts"] = [message("user", item.prompt) for item in batch]
    columns["completions"] = [message("assistant", item.response) for item in batch]
    columns["class_names"] = [item.class_name for item in batch]
    # Pixels come where they are asked for by name: they need numpy.
    if "images" in parameters:
        columns["images"] = [item.image for item in batch]
    if "references" in parameters:
        columns["references"] = [item.references for item in batch]
    columns.update(constants)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        columns = {name: column for name, column in columns.items() if name in parameters}
    for name, p in parameters.items():
        if name not in columns and p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            known = ", ".join(keys) or "none"
            raise LookupError(f"expected `{name}` among the tasks' parameters or the reward's settings (parameters: {known})")
    return columns


class _Loop:
    """Waits for what an async function gives, always in the same event loop."""

    def __init__(self):
        self._loop = None

    def result(self, answer):
        if not inspect.isawaitable(answer):
            return answer
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_awaited(answer))

    def __del__(self):
        if self._loop is not None:
            self._loop.close()


async def _awaited(answer):
    return await answer
