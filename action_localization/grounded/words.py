"""What the embedded grounder hears: sentences for each class, and sentences about what nobody in a stream does."""

from __future__ import annotations

from functools import cache

from action_localization.pose.classes import CLASSES, IDLE, class_of_motion
from models.text.captions import action_captions, clean
from models.text.phrases import PHRASES, SCENES

WORDS: dict[str, tuple[str, ...]] = {
    "squat": ("a person squats", "someone does squats", "bending the knees deeply and standing up again",
              "the woman squats down", "an athlete does knee bends"),
    "plank": ("a person holds a plank", "someone planks on the elbows", "holding the body straight above the floor",
              "the man holds still in a plank position"),
    "russian twist": ("a person does russian twists", "someone sits and twists from side to side",
                      "twisting the upper body while sitting on the floor", "an exercise for the belly with twists"),
    "jump rope": ("a person jumps rope", "someone skips with a rope", "rope skipping", "the boxer skips rope",
                  "a girl jumps over a skipping rope", "speed rope jumping"),
    "football juggling": ("a person juggles a football", "someone keeps a soccer ball in the air with the feet",
                          "kicking a ball up again and again", "the player does keepie-uppies"),
    "lift a barbell": ("a person lifts a barbell", "someone lifts weights", "weightlifting", "the athlete does a clean "
                       "and jerk", "lifting a heavy bar overhead", "a man does deadlifts"),
    "hula hoop": ("a person swings a hula hoop", "someone spins a hoop about the waist", "hula hooping",
                  "the girl circles her hips with a hoop"),
    "pommel horse": ("a gymnast swings on the pommel horse", "a person does circles on a pommel horse",
                     "gymnastics on the horse", "someone swings the legs around on both hands"),
    "pull-up": ("a person does pull-ups", "someone does chin-ups on a bar", "pulling oneself up to a bar",
                "the man hangs from a bar and pulls himself up"),
    "cycle": ("a person rides a bicycle", "someone cycles", "riding a bike", "the woman pedals", "a cyclist rides by"),
    "stir": ("a person stirs", "someone stirs a pot", "stirring with a spoon", "the cook mixes the batter in a bowl",
             "mixing in a bowl"),
    "ride a segway": ("a person rides a segway", "someone rolls along standing on a segway",
                      "riding a self-balancing scooter"),
    "push-up": ("a person does push-ups", "someone does press-ups", "lowering and raising the body on both arms",
                "the soldier does push-ups"),
    "jumping jacks": ("a person does jumping jacks", "someone does star jumps",
                      "jumping with arms and legs spread and closed", "the class does jumping jacks"),
    "wave": ("a person waves", "someone waves with one hand", "waving", "the child waves goodbye", "waves hello"),
    "tennis swing": ("a person plays tennis", "someone swings a racket", "a tennis stroke", "hitting a tennis ball"),
    "basketball": ("a person plays basketball", "someone dribbles a ball", "throwing a ball at the hoop",
                   "the player shoots a basket"),
    "swim": ("a person swims", "someone swims breaststroke", "swimming", "the swimmer does the crawl"),
}  # fmt: skip
"""Classes that motion capture lacks or hardly has."""

_NOWHERE = (
    "a cat sleeps on the sofa", "a red car drives through the rain", "the sun sets behind the mountains",
    "an empty kitchen", "a screen full of numbers", "trees sway in the wind", "a dog barks at the door",
    "water boils in a kettle", "somebody types", "a woman reads a newspaper", "a man shaves", "a bird sits on a branch",
    "the orchestra tunes its instruments", "somebody brushes teeth", "a child plays the piano", "a person rows a boat",
    "someone plays the violin", "the chef chops onions", "a person rides a horse", "someone climbs a rope",
    "a surgeon operates", "a person milks a cow", "someone does yoga on one leg",
)  # fmt: skip


@cache
def class_sentences(label: str) -> tuple[str, ...]:
    """Sentences that are true of any clip of a class: written down here, templates, and scenes of its actions."""
    found = list(WORDS.get(label, ()))
    motions = next((one.motion for one in CLASSES if one.name == label), ())
    for action in motions:
        found += action_captions(action).get("", ())
        found += SCENES.get(action, ())
    return tuple(dict.fromkeys(clean(text) for text in found)) or (f"a person does {label}",)


@cache
def absent_sentences() -> tuple[str, ...]:
    """Sentences about what no clip of the streams shows: actions of no class, and scenes without movement."""
    found = [clean(text) for text in _NOWHERE]
    for action in sorted(PHRASES):
        if class_of_motion(action) is None and action not in IDLE:
            found += [clean(text) for text in (*action_captions(action).get("", ()), *SCENES.get(action, ()))]
    return tuple(dict.fromkeys(found))
