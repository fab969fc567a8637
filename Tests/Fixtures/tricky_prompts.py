"""Texts that a tokenizer gets wrong, and a small corpus to learn merges from."""

CORPUS = """
the mountain range at sunset above a lake the sun over the lake the moon over the mountain
an old man's hat the cat's pajamas it's raining they're late we've seen it he'll go i'd say
aaa aaaa aaaaa aaab banana bananas ananas nanana lalala lalalala hahaha hahahaha
snowy mountain foggy morning stormy night starry night golden hour blue hour aurora borealis
castle bridge river forest meadow waterfall waterfalls lighthouse village villages windmill
photograph photographs photographer painting paintings painter painted highly detailed
masterpiece best quality sharp focus cinematic lighting dramatic lighting volumetric light
red green blue yellow orange purple black white grey silver gold copper bronze
! !! !!! ... -- , . ; : ' " ( ) [ ] { } < > / \\ | _ + = * & ^ % $ # @ ~ `
""" * 3

PROMPTS = [
    "",
    " ",
    "\n\t\r\n ",
    "the sun",
    "The SUN Over THE Lake",
    "a mountain range at sunset above a lake",
    "  leading and trailing   spaces  ",
    "tabs\tand\nnewlines\r\nand\x0bvertical\x0cfeeds",
    "no\u00a0break\u2003em\u2009thin\u3000ideographic\u2028line\u2029paragraph\u0085next spaces",
    "zero\u200bwidth\u200djoiner\ufeffbom\u180emongolian",
    "it's they're we've he'll i'd i'm don't",
    "IT'S THEY'RE WE'VE HE'LL I'D I'M DON'T",
    "'s 't 're 've 'm 'll 'd",
    "the old man's 'sun' and ''tis 'twas",
    "rock'n'roll o'clock 'em",
    "it\u2019s a curly apostrophe",
    "!",
    "!!!",
    "hello!",
    "wait!! what?! no!...",
    "a!b!c",
    "!'s !!'re",
    "... --- ,,, ;;; :::",
    "((masterpiece)), [best:1.2], {quality}",
    "a_b-c+d=e*f&g^h%i$j#k@l~m`n",
    "back\\slash and /slash and |pipe|",
    "1234567890",
    "8k 4K 1080p 3.14 1,000,000 -5",
    "year2024model7b",
    "\u00bd \u00b2 \u2167 \u2460 \u0663 \u096b",
    "aaa aaaa aaaaaaaa aaab baaa",
    "banana bananas ananas nananana lalalalala hahahahaha",
    "mountainmountain mountains unmountainlike",
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u00dcber stra\u00dfe",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m decomposed",
    "\u212bngstr\u00f6m \u2126hm \u212a kelvin",
    "\u0130stanbul \u0131\u011fd\u0131r I i",
    "\u03a3\u0399\u03a3\u03a5\u03a6\u039f\u03a3 \u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\u00df \u1e9e \ufb03 \ufb01 \u01c4 \u01c5 \u01c6",
    "\u043a\u0440\u0430\u0441\u043d\u0430\u044f \u041f\u041b\u041e\u0429\u0410\u0414\u042c",
    "\u5bcc\u58eb\u5c71\u3068\u6e56\u3001\u5915\u713c\u3051",
    "\u0634\u0645\u0633 \u0641\u0648\u0642 \u0627\u0644\u0628\u062d\u064a\u0631\u0629",
    "\u0e1e\u0e23\u0e30\u0e2d\u0e32\u0e17\u0e34\u0e15\u0e22\u0e4c \u0939\u093f\u0928\u094d\u0926\u0940 \ud55c\uae00",
    "\U0001f600 smile \U0001f468\u200d\U0001f469\u200d\U0001f467 family \U0001f1eb\U0001f1f7 flag",
    "\u2764\ufe0f heart \U0001f44d\U0001f3fd thumb",
    "\U0001d400\U0001d401 mathematical \U00010400 deseret \U0001f130",
    "control \x00 \x01 \x1b[31m \x7f characters",
    "private \ue000 \U000f0000 and noncharacter \ufdd0 \uffff",
    "zalgo z\u0351\u0357a\u0346\u0300l\u0334\u0353g\u0321o\u0489",
    "\u0301 combining first",
    "<|startoftext|>",
    "<|endoftext|>",
    "a <|endoftext|> b <|startoftext|> c",
    "a<|endoftext|>b",
    "<|STARTOFTEXT|> <|EndOfText|>!!",
    "!<|ENDOFTEXT|>!",
    "<|startoftext <|endoftext|",
    "<<|startoftext|>> |<|endoftext|>|",
    "</w> a</w>b",
    "http://example.org/?q=a%20b&c=d#e",
    "<lora:name:0.8> \"quoted\" 'single'",
    "word " * 74 + "last",
    "word " * 75 + "cut off here",
    "the sun over the lake, " * 30,
    "banana" * 60,
    "\U0001f600" * 40,
    "a" * 3000,
    ("highly detailed masterpiece, best quality! " * 12) + "caf\u00e9 \U0001f600 the end.",
]
