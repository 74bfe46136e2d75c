"""What the templates say about each coarse action: verb phrases (verbs marked `*`), nouns (`=`), by what a record says.

A key is a set of words that must all occur in the record's own texts before its phrases may be used; "" always may.
Verbs are written in the base form and inflected by `models.text.captions`. This table is frozen: the paraphrase test
in `benchmarks/paraphrases.json` shares no content word with it, and trained generators depend on it.
"""

from __future__ import annotations

PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "aim gun": {
        "": ("*aim a gun", "*point a gun ahead", "*hold a firearm up and *aim", "=aiming a gun"),
        "pistol": ("*aim a pistol", "*point a handgun forward", "*keep a pistol pointed forward"),
        "rifle": ("*aim a rifle", "*hold a rifle to the shoulder and *aim", "*point a rifle forward"),
    },
    "angry": {
        "": (
            "*be angry",
            "*gesture in anger",
            "*act mad",
            "*clench the fists in anger",
            "*shake the fists in rage",
            "*express anger with the body",
            "=an angry gesture",
        )
    },
    "archery": {
        "": ("*use a bow and arrow", "*do archery", "*hold a bow and arrow", "*act as an archer", "=archery"),
        "draws": ("*draw a bow", "*pull the string of a bow back", "*nock an arrow and *draw"),
        "releases": ("*release an arrow", "*shoot an arrow from a bow", "*let an arrow fly"),
        "aims": ("*aim with a bow", "*hold a drawn bow steady"),
    },
    "backflip": {
        "": (
            "*do a backflip",
            "*flip backward in the air",
            "*perform a backflip",
            "*jump and *flip over backward",
            "*do a back somersault in the air",
            "=a backflip",
            "=a backward flip",
        )
    },
    "basketball": {
        "": ("*play basketball", "*move with a basketball", "*handle a basketball", "=basketball"),
        "dribble": ("*dribble a basketball", "*dribble a ball", "*bounce a basketball with the hand", "=dribbling"),
        "dribble forward": ("*dribble a basketball forward", "*walk forward while dribbling a ball"),
        "dribble backward": ("*dribble a basketball backward", "*move backward while dribbling a ball"),
        "dribble sideways": ("*dribble a basketball sideways", "*move sideways while dribbling a ball"),
        "dribble left": ("*dribble a basketball and *turn left", "*dribble forward with left turns"),
        "dribble right": ("*dribble a basketball and *turn right", "*dribble forward with right turns"),
        "dribble shoot": ("*dribble a basketball and *shoot", "*dribble a ball, then *throw it at the hoop"),
    },
    "basketball signal": {
        "": (
            "*give basketball referee signals",
            "*make hand signals as a basketball referee",
            "*signal a call with the arms like a referee",
            "=basketball referee signals",
        )
    },
    "bend": {
        "": (
            "*bend forward",
            "*bend down at the waist",
            "*bend over",
            "*lean the upper body down",
            "*reach down by bending over",
            "=bending over",
        )
    },
    "block": {
        "": (
            "*block an attack",
            "*defend against an attack",
            "*guard the body",
            "*protect the body from a blow",
            "=blocking",
            "=a defensive block",
        ),
        "arms": ("*raise both arms to block", "*cover up with the arms"),
        "shield": ("*block with a shield", "*hold a shield up for protection"),
    },
    "bow": {
        "": (
            "*bow",
            "*take a bow",
            "*bow politely",
            "*bow in greeting",
            "*bend forward to bow",
            "*bow from the waist",
            "*lower the head and upper body in a bow",
            "*make a polite bow",
            "=a polite bow",
            "=bowing",
        )
    },
    "boxing": {
        "": (
            "*box",
            "shadow *box",
            "*throw several punches",
            "*throw punches like a boxer",
            "*practice boxing",
            "=boxing",
            "=shadow boxing",
        ),
        "side": ("*box to the side", "*throw punches sideways"),
    },
    "cartwheel": {
        "": (
            "*do a cartwheel",
            "*turn a cartwheel",
            "*perform a cartwheel",
            "*go over sideways on the hands with the legs in the air",
            "=a cartwheel",
        )
    },
    "cast spell": {
        "": ("*cast a spell", "*do magic", "*use magic with the hands", "*work magic", "=casting a spell"),
        "shoots": ("*shoot magic from the hand", "*thrust a hand forward to cast a spell"),
        "summoning": ("*summon something by magic", "*lift both hands in a magic ritual"),
        "summons": ("*summon something by magic", "*raise both arms in a magic ritual"),
    },
    "catch": {
        "": (
            "*catch something",
            "*catch a ball with one hand",
            "*reach out with a hand to catch",
            "*reach up and *catch an object",
            "=a catch with one hand",
        )
    },
    "cheer": {
        "": (
            "*cheer",
            "*celebrate",
            "*celebrate a victory",
            "*raise the arms in triumph",
            "*cheer with joy",
            "*throw the arms up to cheer",
            "=cheering",
            "=a victory celebration",
        ),
        "fist": ("*pump a fist", "*celebrate with a fist pump"),
    },
    "chop": {
        "": (
            "*chop wood",
            "*chop wood with an axe",
            "*swing an axe",
            "*cut a tree with an axe",
            "*bring an axe down on wood",
            "=chopping wood",
        )
    },
    "clap": {
        "": (
            "*clap",
            "*clap the hands",
            "*clap both hands together",
            "*applaud",
            "*give applause",
            "*hit the palms together",
            "=clapping",
            "=applause",
        )
    },
    "confused": {
        "": (
            "*be confused",
            "*be puzzled",
            "*look unsure",
            "*shrug in confusion",
            "*scratch the head in confusion",
            "=a confused shrug",
        )
    },
    "crawl": {
        "": (
            "*crawl",
            "*crawl forward",
            "*crawl on the ground",
            "*crawl along the floor",
            "*move forward low on the ground",
            "*drag the body along the floor",
            "=crawling",
        ),
        "stomach": ("*crawl on the stomach", "army *crawl ahead on the elbows"),
        "knees": ("*crawl on hands and knees", "*move on all fours"),
    },
    "crouch": {
        "": (
            "*crouch",
            "*crouch down",
            "*stay low in a crouch",
            "*hold a crouched position",
            "*stay down with bent knees",
            "=a crouch",
        )
    },
    "crouch walk": {
        "": (
            "*walk in a crouch",
            "*walk forward while crouching",
            "*move ahead with bent knees",
            "*walk low to the ground",
            "=a crouched walk",
        )
    },
    "dance": {
        "": (
            "*dance",
            "*do a dance",
            "*dance around",
            "*perform a dance",
            "*move to music",
            "*dance to the music",
            "*move the body in a dance",
            "*dance with steps and arm movements",
            "=a dance",
            "=dancing",
            "=dance moves",
        ),
        "salsa": ("*dance salsa", "*do a salsa dance", "*dance with a partner", "=salsa", "=a latin dance"),
        "indian": ("*dance an indian dance", "*do a classical indian dance", "=indian dance"),
        "pirouette": ("*dance ballet and *do a pirouette", "*spin on one foot in a ballet dance", "=ballet"),
        "arabesque": ("*dance ballet", "*raise one leg behind in a ballet arabesque", "=a ballet arabesque"),
        "jete": ("*dance ballet with jumps", "*leap in a ballet dance", "=a ballet leap"),
        "charleston": ("*dance the charleston",),
        "ymca": ("*dance the ymca", "*form letters with the arms in a dance"),
    },
    "dig": {
        "": (
            "*dig",
            "*dig a hole",
            "*dig with a shovel",
            "*shovel earth",
            "*shovel dirt",
            "*push a spade into the ground and *lift soil",
            "=digging",
        )
    },
    "directing traffic": {
        "": (
            "*direct traffic",
            "*direct cars with arm signals",
            "*signal cars to stop and go",
            "*guide traffic like an officer",
            "*control traffic with the arms",
            "=directing traffic",
        )
    },
    "dizzy": {
        "": (
            "*be dizzy",
            "*sway",
            "*sway as if dizzy",
            "*wobble",
            "*lose balance and *wobble",
            "*stand unsteadily",
            "*stagger in place",
            "=dizziness",
        )
    },
    "dodge": {
        "": ("*dodge", "*dodge an attack", "*move quickly out of the way", "*avoid a blow", "=a quick dodge"),
        "left": ("*dodge to the left", "*hop to the left to dodge"),
        "right": ("*dodge to the right", "*hop to the right to dodge"),
        "backward": ("*dodge backward", "*hop back to dodge"),
        "forward": ("*dodge forward", "*dash forward to dodge"),
    },
    "draw": {
        "": ("*draw a shape in the air", "*draw in the air with one hand", "*trace a figure in the air"),
        "tick": ("*draw a tick in the air", "*make a check mark with a hand"),
        "circle": ("*draw a circle in the air", "*move a hand in a circle"),
        "x": ("*draw an x in the air", "*make a cross with a hand"),
    },
    "drive": {
        "": (
            "*drive",
            "*drive a car",
            "*sit and *drive",
            "*steer a car",
            "*turn a steering wheel",
            "*sit behind the wheel of a vehicle",
            "=driving a car",
        )
    },
    "eat": {
        "": (
            "*eat",
            "*eat something",
            "*eat food",
            "*bring food to the mouth",
            "*take a bite of food",
            "*have a meal",
            "=eating",
        )
    },
    "exercise": {
        "": (
            "*exercise",
            "*warm up",
            "*do stretches and twists",
            "*stretch, *twist and *do jumping jacks",
            "*work out",
            "=a workout",
            "=a warm-up exercise",
        )
    },
    "fall down": {
        "": (
            "*fall down",
            "*fall to the ground",
            "*fall over",
            "*collapse",
            "*collapse onto the floor",
            "*drop to the ground",
            "*go down and *lie still",
            "*die and *fall",
            "=a fall to the ground",
        )
    },
    "fall in air": {
        "": (
            "*fall through the air",
            "*be in free fall",
            "*be in mid-air",
            "*fall from a height",
            "*drop through the air with the arms out",
            "=falling through the air",
        )
    },
    "fighting stance": {
        "": (
            "*stand in a fighting stance",
            "*hold up the fists, ready to fight",
            "*stand on guard with raised fists",
            "*hold a boxing guard",
            "*get ready to fight",
            "=a fighting stance",
        )
    },
    "fish": {
        "": (
            "*fish",
            "*go fishing",
            "*fish with a rod",
            "*hold a fishing rod",
            "*catch fish",
            "*handle a fishing rod",
            "=fishing",
        ),
        "casts": ("*cast a fishing line", "*throw out a fishing line"),
        "reels": ("*reel in a fishing line", "*wind the reel of a fishing rod"),
    },
    "flip": {
        "": (
            "*do a back handspring",
            "*flip backward onto the hands",
            "*perform a back handspring",
            "*go over backward on the hands",
            "=a back handspring",
        ),
        "monkey": ("*move like a monkey and *flip backward",),
    },
    "fly": {
        "": (
            "*fly",
            "*fly forward",
            "*fly through the air",
            "*glide through the air",
            "*soar ahead in the air",
            "*fly face down",
            "=flying",
        ),
        "superhero": ("*fly like a superhero", "*fly with one fist ahead"),
    },
    "gesture": {
        "": ("*make a hand gesture", "*gesture with the hand", "*gesture to someone", "=a hand gesture"),
        "guides": ("*guide someone", "*show the way with a hand", "*lead someone along with a gesture"),
        "calls": ("*call someone over", "*wave someone closer", "*ask someone to come over"),
        "responds": ("*respond to someone", "*answer someone with a gesture"),
    },
    "get hit": {
        "": (
            "*be hit",
            "*get hit",
            "*take a hit and *recoil",
            "*be struck",
            "*flinch from a blow",
            "*stagger after a hit",
            "=getting hit",
        ),
        "head": ("*be hit in the head", "*take a punch in the face"),
        "chest": ("*be hit in the chest", "*take a blow to the body"),
    },
    "get up": {
        "": (
            "*get up from the ground",
            "*get up off the floor",
            "*rise from the ground",
            "*stand up after lying down",
            "*get back on the feet",
            "*rise from lying to standing",
            "=getting up from the floor",
        ),
        "facedown": ("*get up from lying face down", "*push off the ground and *stand up"),
        "faceup": ("*get up from lying on the back", "*sit up and *stand up"),
    },
    "golf": {
        "": (
            "*play golf",
            "*swing a golf club",
            "*hit a golf ball",
            "*make a golf swing",
            "=golf",
            "=a golf swing",
        )
    },
    "hammer": {
        "": (
            "*hammer",
            "*hit something with a hammer",
            "*swing a hammer",
            "*hammer a nail",
            "*drive in a nail with a hammer",
            "*pound with a hammer",
            "=hammering",
        )
    },
    "hold object": {
        "": ("*hold something", "*hold an object", "*stand holding an object", "*stand with something in hand"),
        "torch": ("*hold up a torch", "*hold a light in a raised hand"),
        "both": ("*hold an object with both hands", "*carry something in both arms", "*hold a box in front"),
    },
    "jog": {
        "": ("*jog", "*run at an easy pace", "*go for a jog", "*run gently", "=jogging", "=a light run"),
        "spot": ("*jog on the spot", "*run in place", "*jog in place"),
        "forward": ("*jog forward", "*jog ahead"),
    },
    "jump": {
        "": (
            "*jump",
            "*make a jump",
            "*leap",
            "*jump off the ground",
            "*jump into the air",
            "*leap into the air",
            "*perform a jump",
            "=a jump",
            "=jumping",
        ),
        "up": ("*jump up", "*bend the knees and *jump up", "*jump straight up", "*hop up"),
        "forward": ("*jump forward", "*leap forward"),
        "turn": ("*jump and *turn in the air", "*turn while jumping"),
        "turns": ("*jump and *turn in the air", "*turn around during a jump"),
        "running": ("*jump while running", "*run and *jump"),
        "long": ("*jump far", "*make a long jump"),
    },
    "jumping jacks": {
        "": (
            "*do jumping jacks",
            "*do star jumps",
            "*jump and *spread the arms and legs",
            "*exercise with jumping jacks",
            "*jump while swinging the arms overhead",
            "=jumping jacks",
        )
    },
    "kick": {
        "": (
            "*kick",
            "*throw a kick",
            "*kick with one leg",
            "*kick out with a foot",
            "*swing a leg up to kick",
            "*hit with the foot",
            "=a kick",
            "=kicking",
        ),
        "forward": ("*kick forward", "*do a front kick", "*kick to the front", "=a front kick"),
        "side": ("*kick to the side", "*do a side kick", "*kick sideways", "=a side kick"),
        "spin": ("*do a spin kick", "*spin and *kick", "*jump, *spin and *kick", "=a spinning kick"),
        "spinkick": ("*do a spin kick", "*spin around and *kick", "=a spinning kick"),
    },
    "kneel": {
        "": (
            "*kneel",
            "*kneel on one knee",
            "*kneel on the ground",
            "*be down on one knee",
            "*rest on one knee",
            "=kneeling",
        )
    },
    "land": {
        "": (
            "*land",
            "*land from a jump",
            "*come down from a jump",
            "*land on both feet",
            "*hit the ground after a jump and *bend the knees",
            "=a landing",
        )
    },
    "levitate": {
        "": (
            "*levitate",
            "*float above the ground",
            "*hover in the air",
            "*float in mid-air",
            "*hover off the floor",
            "=levitation",
        ),
        "rises": ("*rise off the ground and *float", "*start to levitate"),
    },
    "lie": {
        "": (
            "*lie on the back",
            "*lie on the ground",
            "*lie on the floor",
            "*lie still",
            "*rest on the ground, lying down",
            "=lying on the back",
        )
    },
    "lie down": {
        "": (
            "*lie down",
            "*lie down on the ground",
            "*lie down on the floor",
            "*get down onto the back",
            "*go down to lie on the floor",
            "=lying down",
        )
    },
    "martial arts": {
        "": (
            "*do martial arts",
            "*practice martial arts",
            "*perform a martial arts routine",
            "*do martial arts moves with kicks and punches",
            "*go through fighting moves",
            "=martial arts",
            "=a martial arts form",
        )
    },
    "meditate": {
        "": (
            "*meditate",
            "*sit and *meditate",
            "*sit cross-legged on the floor",
            "*sit still in the lotus position",
            "*meditate with the legs crossed",
            "=meditation",
        )
    },
    "mine": {
        "": (
            "*mine rock",
            "*mine with a pickaxe",
            "*swing a pickaxe",
            "*break rock with a pickaxe",
            "*strike stone with a pickaxe",
            "*hit the ground with a pick",
            "=mining",
        )
    },
    "nod": {
        "": (
            "*nod",
            "*nod the head",
            "*nod yes",
            "*agree with a nod",
            "*say yes with the head",
            "*move the head up and down",
            "=a nod",
            "=nodding",
        )
    },
    "open": {
        "": (
            "*open something",
            "*open a chest",
            "*reach out and *open a lid",
            "*use both hands to open something",
            "*open a box",
            "=opening a chest",
        )
    },
    "pick lock": {
        "": (
            "*pick a lock",
            "*work on a lock",
            "*bend to a lock and *pick it",
            "*try to open a lock with a tool",
            "*unlock a door with a pick",
            "=lock picking",
        )
    },
    "pick up": {
        "": (
            "*pick something up",
            "*pick up an object",
            "*grab an object",
            "*take an object and *lift it",
            "*lift something up",
            "=picking something up",
        ),
        "ground": ("*bend down and *pick something up", "*pick something up from the floor"),
        "table": ("*pick something up from a table", "*take an object off a table"),
        "heavy": ("*lift a heavy object", "*bend down and *lift something heavy"),
    },
    "power up": {
        "": (
            "*power up",
            "*tense the whole body",
            "*tense up and *clench the fists",
            "*build up power",
            "*strain with clenched fists",
            "=powering up",
        )
    },
    "press button": {
        "": (
            "*press a button",
            "*push a button",
            "*reach out and *press a button",
            "*push a switch with a finger",
            "*use a control panel",
            "=pressing a button",
        )
    },
    "punch": {
        "": (
            "*punch",
            "*throw a punch",
            "*hit with a fist",
            "*strike with the fist",
            "*thrust a fist out",
            "*give a punch",
            "=a punch",
            "=punching",
        ),
        "forward": ("*punch forward", "*throw a straight punch", "=a straight punch"),
        "left hand": ("*punch with the left", "*throw a left punch"),
        "right": ("*punch with the right", "*throw a right punch"),
        "jab": ("*jab", "*throw a jab", "=a jab"),
    },
    "push": {
        "": (
            "*push",
            "*push something",
            "*push with both hands",
            "*shove something forward",
            "*push forward with both arms",
            "=pushing",
        ),
        "heavy": ("*push a heavy object", "*lean forward and *push something heavy", "*push a box ahead"),
        "palms": ("*thrust both palms forward", "*push both hands out"),
    },
    "push-up": {
        "": (
            "*do push-ups",
            "*do a push-up",
            "*exercise with push-ups",
            "*lower and *raise the body on the arms",
            "*push the body up off the floor",
            "=push-ups",
        )
    },
    "raise arms": {
        "": ("*raise up", "*reach up", "=reaching up"),
        "left": (
            "*raise the left hand",
            "*raise the left arm",
            "*lift the left arm",
            "*lift up the left hand",
            "*put the left hand up",
            "*hold the left arm up",
            "*raise the left arm overhead",
            "=a raised left hand",
        ),
        "right": (
            "*raise the right hand",
            "*raise the right arm",
            "*lift the right arm",
            "*lift up the right hand",
            "*put the right hand up",
            "*hold the right arm up",
            "*raise the right arm overhead",
            "=a raised right hand",
        ),
        "both": (
            "*raise both hands",
            "*raise both arms",
            "*lift both arms",
            "*lift up both hands",
            "*put both hands up",
            "*hold both arms up",
            "*raise the arms overhead",
            "*raise two hands",
            "=both hands up",
        ),
    },
    "reload gun": {
        "": (
            "*reload a gun",
            "*reload",
            "*load a gun",
            "*change the magazine of a gun",
            "*put ammunition in a gun",
            "=reloading a gun",
        ),
        "pistol": ("*reload a pistol", "*load a handgun"),
        "rifle": ("*reload a rifle", "*load a rifle"),
    },
    "repair": {
        "": (
            "*repair something",
            "*fix something",
            "*kneel and *fix something",
            "*kneel and *repair a machine",
            "*use tools to fix a machine",
            "=repairing a machine",
        )
    },
    "roll": {
        "": (
            "*roll",
            "*roll forward",
            "*roll over the ground",
            "*do a forward roll",
            "*roll across the floor",
            "*go head over heels on the ground",
            "=a forward roll",
        )
    },
    "run": {
        "": (
            "*run",
            "*run along",
            "*go for a run",
            "*move at a run",
            "=running",
            "=a run",
        ),
        "forward": ("*run forward", "*run ahead", "*run straight ahead", "*run forwards", "=a forward run"),
        "dashes": ("*dash", "*dash forward", "*dash ahead", "=a dash"),
        "does left": ("*run and *turn left", "*run to the left", "*run in a curve to the left"),
        "does right": ("*run and *turn right", "*run to the right", "*run in a curve to the right"),
        "jog": ("*jog", "*jog along"),
    },
    "run sideways": {
        "": ("*run sideways", "*strafe", "*run to the side", "=running sideways"),
        "left": ("*run sideways to the left", "*strafe left"),
        "right": ("*run sideways to the right", "*strafe right"),
    },
    "saw": {
        "": (
            "*saw",
            "*saw wood",
            "*cut wood with a saw",
            "*saw through a board",
            "*move a saw back and forth",
            "=sawing wood",
        )
    },
    "shake head": {
        "": (
            "*shake the head",
            "*shake the head no",
            "*say no",
            "*refuse",
            "*disagree",
            "*reject something",
            "*turn the head from side to side",
            "=a head shake",
        )
    },
    "shield bash": {
        "": (
            "*bash with a shield",
            "*hit an opponent with a shield",
            "*push a shield forward",
            "*strike with a shield",
            "=a shield bash",
        )
    },
    "shiver": {
        "": (
            "*shiver",
            "*shiver with cold",
            "*tremble",
            "*shake from cold",
            "*hug the body to stay warm",
            "*be cold",
            "=shivering",
        )
    },
    "shoot gun": {
        "": ("*shoot", "*shoot a gun", "*fire a gun", "*fire a shot", "=shooting a gun", "=gunfire"),
        "pistol": ("*shoot a pistol", "*fire a handgun", "*fire a pistol"),
        "rifle": ("*shoot a rifle", "*fire a rifle"),
    },
    "sideflip": {
        "": (
            "*do a sideflip",
            "*flip sideways in the air",
            "*jump and *flip to the side",
            "=a sideflip",
            "=a side flip",
        )
    },
    "sit": {
        "": (
            "*sit",
            "*sit on a chair",
            "*sit still",
            "*be seated",
            "*rest on a chair",
            "*stay seated",
            "=sitting on a chair",
        )
    },
    "sit and talk": {
        "": (
            "*sit and *talk",
            "*talk while seated",
            "*sit on a chair and *speak",
            "*sit and *gesture while talking",
            "=a seated conversation",
        )
    },
    "sit down": {
        "": (
            "*sit down",
            "*sit down on a chair",
            "*take a seat",
            "*lower onto a chair",
            "*go from standing to sitting",
            "=sitting down",
        )
    },
    "sit down on floor": {
        "": (
            "*sit down on the floor",
            "*sit down on the ground",
            "*lower to sit on the floor",
            "=sitting down on the floor",
        )
    },
    "sit on floor": {
        "": ("*sit on the floor", "*sit on the ground", "*rest on the floor, seated", "=sitting on the floor")
    },
    "slash": {
        "": (
            "*slash with a weapon",
            "*swing a weapon",
            "*cut through the air with a weapon",
            "*make slashing moves",
            "=a slash with a weapon",
        ),
        "swordplay": ("*fight with a sword", "*practice with a sword", "=swordplay"),
    },
    "sleep": {
        "": (
            "*sleep",
            "*be asleep",
            "*sleep on the ground",
            "*lie asleep on the floor",
            "*lie down and *sleep",
            "=sleeping",
        )
    },
    "sneak": {
        "": (
            "*sneak",
            "*sneak forward",
            "*tiptoe",
            "*tiptoe ahead",
            "*creep along quietly",
            "*walk on tiptoe without a sound",
            "=sneaking",
        )
    },
    "soccer kick": {
        "": (
            "*kick a soccer ball",
            "*kick a ball",
            "*play soccer",
            "*hit a ball with the foot",
            "*shoot a soccer ball",
            "=a soccer kick",
        )
    },
    "spin": {"": ("*spin", "*spin around", "*turn around in place", "*whirl around", "*spin in a circle", "=a spin")},
    "spin attack": {
        "": (
            "*spin around with a weapon",
            "*attack while spinning",
            "*spin and *swing a weapon",
            "*whirl a weapon around",
            "=a spinning attack",
        )
    },
    "sprint": {
        "": (
            "*sprint",
            "*sprint forward",
            "*run very fast",
            "*run at full speed",
            "*run as fast as possible",
            "=a sprint",
        )
    },
    "stab": {
        "": (
            "*stab",
            "*stab forward",
            "*stab with a weapon",
            "*thrust a weapon forward",
            "*lunge with a weapon",
            "=a stab",
        ),
        "sword": ("*stab with a sword", "*thrust a sword forward"),
        "two": ("*stab with two hands", "*thrust both arms forward"),
    },
    "stand": {
        "": (
            "*stand",
            "*stand still",
            "*stand in place",
            "*stand idle",
            "*stay standing",
            "*wait on the spot",
            "=standing still",
        ),
        "looks": ("*stand and *look around",),
        "listens": ("*stand and *listen",),
    },
    "stand up": {
        "": (
            "*stand up",
            "*stand up from sitting",
            "*rise to the feet",
            "*get up and *stand",
            "*go from sitting to standing",
            "=standing up",
        ),
        "chair": ("*stand up from a chair", "*get up from a chair", "*rise from a chair"),
        "seat": ("*stand up from a seat", "*rise from a seat"),
        "floor": ("*stand up from the floor", "*get up from sitting on the floor"),
    },
    "swim": {
        "": ("*swim", "*make swimming strokes", "*swim with the arms", "=swimming"),
        "forward": ("*swim forward", "*swim through water", "*swim the breaststroke", "*move through the water"),
        "pretends": ("*pretend to swim while standing", "*make swimming movements with the arms"),
    },
    "sword attack": {
        "": ("*attack with a weapon", "*strike with a weapon", "*swing a weapon", "=an attack with a weapon"),
        "sword": ("*attack with a sword", "*swing a sword", "*slash with a sword", "=a sword attack"),
        "chops": ("*chop down with a weapon", "*strike downward with a weapon"),
        "two-handed": ("*swing a weapon with both hands",),
        "jumps": ("*jump and *strike down with a sword",),
    },
    "sword stance": {
        "": (
            "*stand ready with a sword",
            "*hold a sword in guard",
            "*stand with a weapon, ready to fight",
            "=a sword stance",
        )
    },
    "talk": {
        "": (
            "*talk",
            "*stand and *talk",
            "*speak",
            "*talk to someone",
            "*have a conversation",
            "*explain something with the hands",
            "*gesture while talking",
            "=talking",
            "=a conversation",
        )
    },
    "taunt": {
        "": (
            "*taunt",
            "*taunt an opponent",
            "*mock someone",
            "*provoke an opponent",
            "*challenge someone to fight",
            "=a taunt",
        )
    },
    "tennis": {
        "": ("*play tennis", "*swing a tennis racket", "*hit a tennis ball", "=tennis"),
        "serve": ("*serve in tennis", "*hit a tennis serve", "=a tennis serve"),
        "forehand": ("*play a forehand", "*swing a racket sideways", "=a forehand"),
    },
    "throw": {
        "": (
            "*throw something",
            "*throw an object",
            "*throw a ball",
            "*hurl something",
            "*throw something overhand",
            "*swing an arm and *throw",
            "=a throw",
            "=throwing a ball",
        )
    },
    "thumbs up": {
        "": (
            "*give a thumbs up",
            "*show a thumbs up",
            "*hold a thumb up",
            "*show approval with the thumb",
            "*approve with a raised thumb",
            "=a thumbs up",
        )
    },
    "tired": {
        "": (
            "*be tired",
            "*be exhausted",
            "*be out of breath",
            "*catch the breath",
            "*hunch over on hands and knees, exhausted",
            "*rest on all fours",
            "=exhaustion",
        )
    },
    "tread water": {
        "": (
            "*tread water",
            "*float upright in water",
            "*stay afloat in water",
            "*move the arms and legs to stay afloat",
            "=treading water",
        )
    },
    "turn": {
        "left": (
            "*walk and *turn left",
            "*walk forward and *turn left",
            "*turn left while walking",
            "*make a left turn",
            "*turn to the left",
            "*walk in a curve to the left",
            "*take a left turn at a walk",
            "=a left turn",
        ),
        "right": (
            "*walk and *turn right",
            "*walk forward and *turn right",
            "*turn right while walking",
            "*make a right turn",
            "*turn to the right",
            "*walk in a curve to the right",
            "*take a right turn at a walk",
            "=a right turn",
        ),
    },
    "use object": {
        "": (
            "*use an object",
            "*use an item in the hand",
            "*hold up a small item and *use it",
            "*lift an item and *use it",
            "=using an item",
        )
    },
    "walk": {
        "": (
            "*walk",
            "*walk along",
            "*take a walk",
            "*walk at a steady pace",
            "*go on foot",
            "*move at a walk",
            "*take some steps",
            "=walking",
            "=a walk",
        ),
        "forward": (
            "*walk forward",
            "*walk forwards",
            "*walk ahead",
            "*walk straight ahead",
            "*step forward",
            "*move forward on foot",
            "*take steps forward",
            "=a forward walk",
        ),
        "slow": ("*walk slowly", "=a slow walk"),
        "brisk": ("*walk briskly", "*walk fast", "=a brisk walk"),
        "stealthy": ("*walk stealthily", "=a stealthy walk"),
        "uneven": ("*walk over uneven ground", "*walk on rough terrain"),
        "zombie": ("*walk like a zombie", "*stagger like a zombie"),
    },
    "walk backward": {
        "": (
            "*walk backward",
            "*walk backwards",
            "*step back",
            "*step backward",
            "*back away",
            "*back up",
            "*move backward on foot",
            "*take steps backward",
            "=walking backward",
            "=a backward walk",
        )
    },
    "walk sideways": {
        "": ("*walk sideways", "*step to the side", "*move sideways on foot", "=walking sideways"),
        "left": (
            "*walk sideways to the left",
            "*step sideways to the left",
            "*step to the left",
            "*move to the left with side steps",
            "*take side steps to the left",
            "=side steps to the left",
        ),
        "right": (
            "*walk sideways to the right",
            "*step sideways to the right",
            "*step to the right",
            "*move to the right with side steps",
            "*take side steps to the right",
            "=side steps to the right",
        ),
    },
    "wash": {
        "": ("*wash something", "*clean something with the hands", "*wipe with the hands", "=washing"),
        "window": ("*wash a window", "*clean a window", "*wipe a window"),
        "wipes": ("*wipe a surface", "*wipe something clean with one hand"),
        "self": ("*wash the body", "*wash"),
    },
    "wave": {
        "": (
            "*wave",
            "*wave at someone",
            "*wave to greet someone",
            "*wave goodbye",
            "*wave in greeting",
            "=waving",
            "=a wave",
        ),
        "left": (
            "*wave the left hand",
            "*wave with the left hand",
            "*wave the left arm",
            "*raise the left hand and *wave",
            "*wave to someone with the left hand",
            "*wave goodbye with the left hand",
            "=a wave of the left hand",
        ),
        "right": (
            "*wave the right hand",
            "*wave with the right hand",
            "*wave the right arm",
            "*raise the right hand and *wave",
            "*wave to someone with the right hand",
            "*wave goodbye with the right hand",
            "=a wave of the right hand",
        ),
        "both": (
            "*wave both hands",
            "*wave with both hands",
            "*wave both arms",
            "*raise both hands and *wave",
            "*wave the arms overhead",
            "*wave to someone with both hands",
            "=a wave of both hands",
        ),
        "two": ("*wave two arms", "*wave both arms", "*wave with both hands"),
    },
    "work with hands": {
        "": (
            "*work with the hands",
            "*work at a bench",
            "*work at a table with both hands",
            "*handle things on a table",
            "*assemble something with both hands",
            "*prepare something on a bench",
            "=working at a bench",
        )
    },
    "zombie stand": {
        "": ("*stand like a zombie", "*stand hunched and *sway", "*sway in place like a zombie", "=a zombie pose")
    },
    "zombie walk": {
        "": (
            "*walk like a zombie",
            "*stagger forward like a zombie",
            "*walk with dragging steps",
            "*shamble ahead like the undead",
            "=a zombie walk",
        )
    },
}

STYLES: dict[str, tuple[str, ...]] = {
    "active": ("energetically", "with a lot of energy", "in a lively way"),
    "angry": ("angrily", "in anger", "in an angry way"),
    "childish": ("like a child", "childishly", "the way a child would"),
    "chimpira": ("like a street thug", "like a thug", "in a tough thuggish way"),
    "elderly": ("like an elderly person", "like an old person", "as an aged person would"),
    "exhausted": ("as if exhausted", "exhaustedly", "with no energy", "in an exhausted way"),
    "feminine": ("in a feminine way", "in a feminine manner", "like a woman"),
    "giant": ("like a giant", "as a giant would", "heavily like a giant"),
    "happy": ("happily", "with joy", "in a happy mood", "cheerfully"),
    "masculine": ("in a masculine way", "in a masculine manner", "like a man"),
    "masculinity": ("in a masculine way", "in a masculine manner", "like a man"),
    "musical": ("like in a musical", "as if in a musical", "theatrically"),
    "normal": ("normally", "in a normal way", "in a neutral way"),
    "not-confident": ("without confidence", "timidly", "shyly"),
    "old": ("like an old person", "like an elderly person", "as an aged person would"),
    "proud": ("proudly", "with pride", "in a proud way"),
    "sad": ("sadly", "with sadness", "in a sad mood"),
    "tired": ("tiredly", "in a tired way", "with fatigue"),
    "youthful": ("like a young person", "youthfully", "in a youthful way"),
}
