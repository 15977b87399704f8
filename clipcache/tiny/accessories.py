"""The outlines of what is worn on head, neck, hands and waist."""

from clipcache.tiny.parts import (
    Garment,
    Ink,
    dots,
    fold,
    moved,
    seam,
    seams,
    shape,
    sometimes,
    twins,
)

_SOCK = (
    shape(
        Ink.FABRIC,
        "-22,-70 14,-70 14,16 46,44~ 60,74 20,72~ -20,60 -34,44~ -22,12",
    ),
    shape(Ink.TRIM, "38,40 60,54~ 56,74 40,74~ 30,70"),
    shape(Ink.TRIM, "-23,14 -4,34 -12,60 -38,46~ -23,14"),
    shape(Ink.TRIM, "-24,-88 16,-88 14,-66 -22,-66"),
    seam("-22,-67 14,-67", 2.5),
    seam("14,-66 14,16 34,34", 2.5),
)

ACCESSORIES = (
    Garment(
        "tie",
        (
            seams("8,-84 34,-96", 9, Ink.SHADE),
            shape(Ink.SHADE, "-4,-60 8,-62 26,70 12,78"),
            fold(Ink.FABRIC, "0,-64 7,-64 24,66 0,92"),
            fold(Ink.FABRIC, "0,-92 14,-92 16,-86 8,-62 0,-62"),
            seam("-8,-62 8,-62", 3),
        ),
        ("neckwear", "accessory", "something formal"),
        ("long and narrow", "with a knot"),
        0.62,
    ),
    Garment(
        "bow tie",
        (
            twins(Ink.FABRIC, "6,-10 66,-36 78,-30~ 74,0 78,30~ 66,36 6,10"),
            twins(Ink.SHADE, "6,-8 44,-8 34,0 44,9 6,8"),
            seams("8,-4 46,-10", 2.5),
            seams("8,4 46,10", 2.5),
            fold(Ink.FABRIC, "0,-15 11,-14 13,0~ 11,14 0,15"),
            seams("11,-14 14,0~ 11,14", 3),
        ),
        ("neckwear", "accessory", "something formal"),
        ("with a knot", "short and wide"),
        0.0,
        ("tie",),
    ),
    Garment(
        "scarf",
        (
            shape(Ink.SHADE, "-6,-40 26,-44 44,60 16,66"),
            *(
                seam(f"{x},{y} {x + 2},{y + 16}", 3.5, Ink.TRIM)
                for x, y in ((18, 66), (25, 64), (32, 63), (39, 61))
            ),
            shape(Ink.FABRIC, "-30,-36 4,-44 -4,76 -38,74"),
            *(seam(f"{x},75 {x - 1},92", 3.5, Ink.TRIM) for x in (-34, -26, -18, -9)),
            fold(Ink.FABRIC, "0,-84 46,-86~ 46,-56 44,-30~ 0,-28"),
            fold(Ink.INSIDE, "0,-78 26,-78~ 28,-66 24,-56~ 0,-56"),
            seam("-42,-52 0,-30~ 40,-50", 3),
            seam("-30,-40 0,-24~ 34,-38", 3),
        ),
        ("neckwear", "accessory", "something warm"),
        ("with fringes", "long and soft"),
        0.66,
    ),
    Garment(
        "belt",
        (
            shape(
                Ink.SHADE,
                "-60,-26 -40,-42~ 0,-42 40,-42~ 60,-26 60,-10 40,-26~ 0,-26 -40,-26~ -60,-10",
            ),
            shape(Ink.FABRIC, "-66,-26 -60,0~ -20,8 86,8 92,17~ 86,26 -20,26 -66,20~ -66,-26"),
            shape(Ink.FABRIC, "66,-26 66,8~ 40,8 20,8 20,26 40,26~ 74,20 70,-26"),
            seam("-2,3 22,3 22,31 -2,31 -2,3", 6, Ink.SHINE),
            seam("8,17 26,17", 4, Ink.SHINE),
            dots("40,17 54,17 68,17", 3, Ink.INSIDE),
        ),
        ("accessory", "leather goods"),
        ("with a buckle", "with holes"),
        0.58,
    ),
    Garment(
        "baseball cap",
        (
            shape(Ink.FABRIC, "-66,22 -70,-46~ -8,-52 50,-50~ 46,20"),
            shape(Ink.TRIM, "-10,16 44,6 70,8~ 96,30 60,34~ 26,26 -10,24"),
            seam("-8,-52 -22,-20~ -20,20", 2.5),
            seam("-8,-52 28,-30~ 30,10", 2.5),
            seam("-66,20 44,12", 3),
            dots("-8,-53", 5, Ink.TRIM),
            *sometimes(0.5, "with a badge", shape(Ink.SHINE, "2,-34 22,-34 22,-14 2,-14")),
        ),
        ("headwear", "hat", "sportswear"),
        ("with a visor", "with a button on top"),
        0.34,
        ("cap",),
    ),
    Garment(
        "beanie",
        (
            fold(Ink.FABRIC, "0,-56 52,-58~ 56,26 0,26"),
            *(seams(f"{x * 0.4},-52 {x},-20~ {x},20", 2) for x in (10, 26, 42)),
            fold(Ink.TRIM, "0,14 58,14 60,46 0,48"),
            *(seam(f"{x},18 {x},44", 2.5) for x in range(-48, 49, 12)),
            *sometimes(0.5, "with a pompom", dots("0,-66", 17, Ink.TRIM)),
        ),
        ("headwear", "hat", "something warm"),
        ("with a folded brim", "in ribbed knit"),
        0.3,
        ("hat",),
    ),
    Garment(
        "sun hat",
        (
            fold(Ink.FABRIC, "0,0 60,-2~ 94,24 80,46~ 0,48"),
            fold(Ink.SHADE, "0,30 40,28~ 88,30 70,44~ 0,46"),
            fold(Ink.FABRIC, "0,-50 38,-52~ 44,16 24,22~ 0,22"),
            fold(Ink.TRIM, "0,4 22,4~ 43,-2 45,14 24,22~ 0,22"),
        ),
        ("headwear", "summer clothes", "something for the beach"),
        ("with a wide brim", "with a ribbon"),
        0.0,
        ("hat",),
    ),
    Garment(
        "gloves",
        (
            shape(
                Ink.FABRIC,
                "-26,44 -34,0 -66,-26 -66,-40~ -50,-36 -32,-20 -34,-68 -30,-78~ -20,-70 -16,-24 "
                "-12,-24 -12,-84 -4,-94~ 6,-84 4,-24 8,-24 14,-78 22,-86~ "
                "30,-76 24,-20 28,-18 38,-58 48,-62~ 52,-52 42,20 28,44",
            ),
            *(seam(text, 2.5) for text in ("-14,-26 -14,-8", "6,-26 6,-8", "26,-20 25,-6")),
            shape(Ink.TRIM, "-28,42 30,42 34,80 -32,80"),
            *(seam(f"{x},48 {x},78", 2) for x in range(-22, 29, 10)),
        ),
        ("accessory", "something warm", "winter clothes"),
        ("with five fingers", "with a ribbed cuff"),
        0.62,
    ),
    Garment(
        "socks",
        (
            *moved(-26, *_SOCK),
            *moved(14, *_SOCK),
        ),
        ("footwear", "something warm", "underwear"),
        ("with a ribbed cuff", "in a pair", "with a coloured heel"),
        0.54,
    ),
)
