"""How near the length of an answer is to what its task asks for: called as TRL calls a reward."""


def length(completions, target, **kwargs):  # `target` is a parameter of the tasks
    return [-abs(len(text) - near) for text, near in zip(completions, target)]
