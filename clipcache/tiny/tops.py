"""The outlines of what is worn above the waist."""

from clipcache.tiny.parts import (
    Garment,
    Ink,
    Part,
    dots,
    fold,
    seam,
    seams,
    shape,
    sometimes,
    swinging,
    twins,
)

_SHOULDER = "36,-56"
_ROUND_NECK = fold(Ink.INSIDE, "0,-68 10,-68~ 18,-71 13,-52~ 0,-52")
_ROUND_COLLAR = seam("-18,-71 -13,-52~ 0,-52 13,-52~ 18,-71", 5, Ink.TRIM)
_BODY = fold(Ink.FABRIC, "0,-58 18,-71 42,-62 39,-30 41,72 0,72")
_WIDE_BODY = fold(Ink.FABRIC, "0,-58 18,-70 44,-60 43,-20 48,40 44,66 0,66")
_HEM = fold(Ink.TRIM, "0,62 44,62 42,76 0,76")
_BUTTON_LINE = dots("0,-34 0,-14 0,6 0,26 0,46")
_COLLAR = twins(Ink.TRIM, "1,-52 17,-76 26,-66 14,-42")
_BACK_OF_NECK = fold(Ink.INSIDE, "0,-70 12,-72~ 18,-74 0,-50")
_HOOD_TIE = seams("8,-44 9,-14", 3, Ink.SHINE)


def _short_sleeves() -> tuple[Part, ...]:
    return swinging(
        9,
        _SHOULDER,
        twins(Ink.FABRIC, "34,-67 46,-62 58,-52~ 84,-24 62,-6 38,-28"),
        seams("80,-26 61,-10", 3),
    )


def _long_sleeves(cuff: Ink = Ink.FABRIC, *, loose: float = 0.0) -> tuple[Part, ...]:
    inner = 58 - loose
    return swinging(
        11,
        _SHOULDER,
        twins(Ink.FABRIC, f"34,-67 44,-62 56,-54~ 62,-30 {80 + loose},46 {inner},54 38,-20"),
        twins(cuff, f"{78 + loose},38 {80 + loose},52 {inner},60 {inner - 3},46"),
        seams(f"{79 + loose},40 {inner - 3},47", 2.5),
    )


def _tailored(hem: int, button: str) -> tuple[Part, ...]:
    """Return the front of a jacket with lapels over a shirt."""
    return (
        fold(Ink.FABRIC, f"0,-50 18,-72 44,-62 38,-14 44,{hem} 6,{hem + 2} 0,{hem - 16}"),
        fold(Ink.INSIDE, "0,-68 18,-72 12,-30 0,6"),
        twins(Ink.SHADE, "17,-75 30,-62 22,-46 28,-42 2,10 6,-30"),
        seams("17,-75 30,-62 22,-46 28,-42 2,10", 2),
        seam(f"0,8 0,{hem - 16}", 2.5),
        dots(button, 3.5),
    )


_TEE = (*_short_sleeves(), _BODY, _ROUND_NECK)

TOPS = (
    Garment(
        "t-shirt",
        (
            *_TEE,
            _ROUND_COLLAR,
            *sometimes(0.25, "with a print", shape(Ink.TRIM, "-18,-26 18,-26 14,2 -14,2")),
        ),
        ("top", "shirt", "something light"),
        ("with short sleeves", "with a round neck"),
        0.86,
        ("tee",),
    ),
    Garment(
        "polo shirt",
        (
            *_TEE,
            _BACK_OF_NECK,
            shape(Ink.TRIM, "-5,-54 5,-54 5,-20 -5,-20"),
            _COLLAR,
            seams("1,-52 14,-42 26,-66", 2),
            dots("0,-40 0,-28", 2.5),
        ),
        ("top", "shirt", "something casual"),
        ("with a collar", "with short sleeves", "with two buttons"),
        0.0,
        ("t-shirt",),
    ),
    Garment(
        "dress shirt",
        (
            *_long_sleeves(Ink.TRIM),
            fold(Ink.FABRIC, "0,-58 18,-71 42,-62 39,-30 42,60 40,82~ 0,80"),
            _BACK_OF_NECK,
            shape(Ink.SHADE, "-5,-52 5,-52 5,80 -5,80"),
            seam("-5,-46 -5,80", 2),
            _COLLAR,
            seams("1,-52 14,-42 26,-66", 2),
            _BUTTON_LINE,
            *sometimes(0.5, "with a pocket", seam("14,-26 34,-26 34,-4 24,2 14,-4 14,-26", 2)),
        ),
        ("top", "shirt", "something formal"),
        ("with a collar", "with long sleeves", "with buttons"),
        0.34,
        ("shirt",),
    ),
    Garment(
        "long-sleeve top",
        (*_long_sleeves(), _BODY, _ROUND_NECK, _ROUND_COLLAR),
        ("top", "shirt", "something casual"),
        ("with long sleeves", "with a round neck"),
        0.0,
        ("t-shirt", "sweater"),
    ),
    Garment(
        "tank top",
        (
            fold(Ink.INSIDE, "0,-44 20,-70 24,-66 20,-20 0,-10"),
            fold(Ink.FABRIC, "0,-20 12,-20~ 15,-76 28,-76 28,-34~ 40,-24 40,72 0,72"),
            seams("15,-76 12,-20~ 0,-20", 3, Ink.TRIM),
            seams("28,-76 28,-34~ 40,-24", 3, Ink.TRIM),
        ),
        ("top", "something light", "summer clothes"),
        ("without sleeves", "with thin straps"),
        0.54,
        ("vest",),
    ),
    Garment(
        "sweater",
        (
            *_long_sleeves(Ink.TRIM, loose=5),
            _WIDE_BODY,
            _HEM,
            *(seam(f"{x},64 {x},75", 1.5) for x in range(-36, 37, 9)),
            _ROUND_NECK,
            seam("-19,-70 -14,-50~ 0,-50 14,-50~ 19,-70", 9, Ink.TRIM),
            *sometimes(
                0.4,
                "in cable knit",
                *(
                    seam(f"{x},-40 {x + 5},-20~ {x},0 {x - 5},20~ {x},58", 2.5)
                    for x in (-20, 0, 20)
                ),
            ),
        ),
        ("top", "knitwear", "something warm"),
        ("with long sleeves", "with ribbed cuffs", "with a round neck"),
        0.54,
        ("jumper",),
    ),
    Garment(
        "turtleneck",
        (
            *_long_sleeves(loose=2),
            _WIDE_BODY,
            _HEM,
            fold(Ink.TRIM, "0,-92 18,-92 22,-62 12,-56~ 0,-56"),
            seam("-19,-78 0,-75~ 19,-78", 2),
            seam("-22,-62 -12,-56~ 0,-56 12,-56~ 22,-62", 2.5),
        ),
        ("top", "knitwear", "something warm"),
        ("with a high neck", "with long sleeves"),
        0.0,
        ("sweater",),
    ),
    Garment(
        "hoodie",
        (
            *_long_sleeves(Ink.TRIM, loose=7),
            fold(Ink.SHADE, "0,-98 22,-98~ 28,-78 32,-66 24,-54 0,-48"),
            _WIDE_BODY,
            fold(Ink.INSIDE, "0,-90 16,-90~ 18,-70 14,-56~ 0,-46"),
            seam("-24,-60 -16,-46~ 0,-42 16,-46~ 24,-60", 5, Ink.TRIM),
            _HEM,
            fold(Ink.SHADE, "0,18 20,18 34,54 0,54"),
            seams("0,18 20,18 34,54", 3),
            _HOOD_TIE,
        ),
        ("top", "sportswear", "something warm"),
        ("with a hood", "with a big pocket", "with long sleeves"),
        0.7,
        ("sweatshirt",),
    ),
    Garment(
        "cardigan",
        (
            *_long_sleeves(Ink.TRIM, loose=3),
            _WIDE_BODY,
            fold(Ink.INSIDE, "0,-68 18,-71 12,-40 0,-8"),
            _HEM,
            seams("17,-72 13,-40 3,-6 3,76", 9, Ink.TRIM),
            seam("0,-6 0,76", 2.5),
            dots("3,6 3,24 3,42 3,60"),
        ),
        ("knitwear", "top", "something warm"),
        ("with buttons", "with an open front", "with long sleeves"),
        0.0,
        ("sweater", "jacket"),
    ),
    Garment(
        "blazer",
        (
            *_long_sleeves(loose=1),
            *_tailored(76, "3,22 3,42"),
            seams("16,38 36,36", 4),
            *sometimes(
                0.5, "with a pocket square", shape(Ink.SHINE, "20,-24 34,-26 33,-18 21,-17")
            ),
        ),
        ("jacket", "something formal", "outerwear"),
        ("with lapels", "with long sleeves", "with two buttons"),
        0.42,
        ("jacket",),
    ),
    Garment(
        "puffer jacket",
        (
            *_long_sleeves(Ink.TRIM, loose=12),
            *swinging(
                11,
                _SHOULDER,
                *(seams(f"{44 + y / 9},{y} {64 + y / 3.2},{y - 8}", 3.5) for y in (-30, -6, 18)),
            ),
            fold(
                Ink.FABRIC,
                "0,-62 20,-70 46,-62 54,-50~ 48,-36 58,-24~ 50,-8 "
                "60,6~ 50,20 60,34~ 50,46 58,62~ 46,72 0,72",
            ),
            *(
                fold(Ink.SHADE, f"0,{y - 3} 50,{y - 6} 50,{y + 3} 0,{y + 7}")
                for y in (-34, -8, 20, 46)
            ),
            *(seam(f"-49,{y} 0,{y + 6}~ 49,{y}", 3.5) for y in (-36, -8, 20, 46)),
            fold(Ink.TRIM, "0,-86 20,-86 24,-64 14,-56~ 0,-56"),
            seam("0,-86 0,72", 5, Ink.SHINE),
        ),
        ("jacket", "outerwear", "something warm"),
        ("with a zip", "with quilting", "with long sleeves"),
        0.0,
        ("jacket",),
    ),
    Garment(
        "trench coat",
        (
            *_long_sleeves(Ink.TRIM, loose=3),
            fold(Ink.FABRIC, "0,-50 18,-72 44,-62 38,-8 36,14 52,96 0,96"),
            fold(Ink.INSIDE, "0,-68 18,-72 8,-40 0,-26"),
            twins(Ink.SHADE, "17,-76 34,-62 26,-44 30,-38 0,-8 4,-34"),
            seams("17,-76 34,-62 26,-44 30,-38 0,-8", 2),
            seam("-2,-8 -2,96", 2.5),
            dots("10,-14 -14,-14 10,26 -14,26 10,46 -14,46", 3.5),
            fold(Ink.TRIM, "0,2 38,2 38,13 0,13"),
            seam("-9,0 9,0 9,15 -9,15 -9,0", 3.5, Ink.SHINE),
            seams("26,34 34,52", 4),
        ),
        ("coat", "outerwear", "something warm"),
        ("with a belt", "with lapels", "with long sleeves"),
        0.0,
        ("coat",),
    ),
    Garment(
        "waistcoat",
        (
            fold(Ink.INSIDE, "0,-66 20,-72 18,-30 0,-4"),
            fold(Ink.FABRIC, "0,2 12,-34 18,-74 34,-72 30,-34~ 42,-22 38,20 42,56 18,76 0,58"),
            seams("18,-74 12,-34 0,2", 3),
            seam("0,2 0,58", 2.5),
            dots("3,12 3,26 3,40 3,54"),
            seams("16,34 34,30", 4),
        ),
        ("something formal", "top"),
        ("without sleeves", "with buttons", "with a deep neckline"),
        0.0,
        ("vest",),
    ),
)
