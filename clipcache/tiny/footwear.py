"""The outlines of what is worn on the feet: shoes from the side, toe to the right."""

from clipcache.tiny.parts import (
    Garment,
    Ink,
    dots,
    seam,
    shape,
    sometimes,
    swinging,
    twins,
)

FOOTWEAR = (
    Garment(
        "sneakers",
        (
            shape(
                Ink.FABRIC,
                "-72,26 -76,-26 -64,-34 -50,-26~ -38,-28 -22,-38 6,-34~ 34,-2 72,0~ 80,28",
            ),
            shape(Ink.INSIDE, "-64,-34 -50,-26~ -38,-28 -22,-38 -44,-42~ -64,-34"),
            shape(Ink.TRIM, "52,4 74,4~ 80,28 44,28 44,12~ 52,4"),
            shape(Ink.SOLE, "-80,22 84,22 86,40~ 76,44 -74,44 -84,40~ -80,22"),
            seam("-78,33 84,33", 2.5),
            *(
                seam(f"{x},{y} {x + 18},{y - 15}", 5, Ink.SHINE)
                for x, y in ((-16, -10), (-2, -2), (12, 5))
            ),
            *sometimes(0.5, "with a side stripe", shape(Ink.TRIM, "-44,20 -30,-12 -18,-12 -30,20")),
        ),
        ("footwear", "shoes", "sportswear"),
        ("with laces", "with a thick sole"),
        0.7,
        ("trainers",),
    ),
    Garment(
        "loafers",
        (
            shape(
                Ink.FABRIC, "-74,26 -76,-12 -68,-20 -44,-2~ -14,-6 6,-22 34,-18~ 50,-2 82,0~ 84,28"
            ),
            shape(Ink.INSIDE, "-68,-20 -44,-2~ -14,-6 6,-22 -34,-26~ -68,-20"),
            seam("16,-16 12,10~ 48,12 74,8", 3),
            shape(Ink.SHADE, "-6,-13 8,-23 30,-20 16,26 -8,26"),
            seam("6,-2 18,0", 5, Ink.SHINE),
            shape(Ink.SOLE, "-78,26 86,26 86,32 -40,33 -42,44 -78,44"),
        ),
        ("footwear", "shoes", "something formal"),
        ("with a low heel", "without laces", "with a strap across"),
        0.0,
        ("shoes",),
    ),
    Garment(
        "ankle boots",
        (
            shape(
                Ink.FABRIC, "-60,56 -64,10~ -50,-30 -50,-62 6,-62 6,-30 10,4~ 40,12 76,16~ 78,56"
            ),
            shape(Ink.SHADE, "-34,-60 -14,-60 -16,4 -24,14 -32,4"),
            seam("-34,-60 -32,4 -24,14 -16,4 -14,-60", 2.5),
            seam("-50,-56 6,-56", 3),
            shape(Ink.SOLE, "-64,52 80,52 80,60 -24,61 -26,78 -64,78"),
            *sometimes(0.5, "with a pull tab", seam("-50,-50 -62,-70 -48,-64", 5, Ink.TRIM)),
        ),
        ("footwear", "shoes", "winter shoes"),
        ("with a short shaft", "with a block heel", "with an elastic side"),
        0.0,
        ("boots",),
    ),
    Garment(
        "boots",
        (
            shape(
                Ink.FABRIC, "-44,74 -46,40~ -40,20 -42,-92 14,-92 10,20 16,38~ 40,44 66,48~ 68,74"
            ),
            shape(Ink.INSIDE, "-42,-92 -14,-86~ 14,-92 -14,-97~ -42,-92"),
            seam("-41,-78 13,-78", 3),
            seam("-38,24 -10,34~ 12,26", 2.5),
            seam("-38,50 -20,40~ 14,42", 2.5),
            shape(Ink.SOLE, "-48,70 70,70 70,79 -12,80 -14,94 -48,94"),
            *sometimes(0.4, "with a buckle", seam("-40,0 11,0", 6, Ink.TRIM), dots("-6,0", 6)),
        ),
        ("footwear", "shoes", "winter shoes"),
        ("with a tall shaft", "knee-high"),
        0.78,
    ),
    Garment(
        "high heels",
        (
            shape(Ink.INSIDE, "-62,-38 -30,-10~ 8,12 40,28 50,24~ 20,0~ -62,-38"),
            shape(
                Ink.FABRIC,
                "-70,-40 -62,-38 -44,-2~ -6,14 14,36~ 44,26 86,40~ 88,52 30,54 -6,44~ -50,10 -64,6",
            ),
            shape(Ink.SOLE, "-70,-10 -48,8 -60,62 -66,62"),
            seam("88,53 30,55 -6,45~ -48,12", 3.5, Ink.SOLE),
            *sometimes(
                0.3,
                "with an ankle strap",
                seam("-66,-36 -50,-66~ -22,-52 -8,-30~ -44,-10", 5, Ink.FABRIC),
            ),
        ),
        ("footwear", "shoes", "something elegant"),
        ("with a thin heel", "with a pointed toe"),
        0.38,
        ("heels",),
    ),
    Garment(
        "sandals",
        (
            shape(Ink.SOLE, "-78,30 -50,22 0,30~ 40,26 82,26~ 86,38 80,44 -74,46"),
            shape(Ink.FABRIC, "18,28 24,-8~ 42,-6 66,2~ 74,26 58,27 50,10~ 38,8 32,10~ 34,28"),
            shape(Ink.FABRIC, "-70,28 -64,-34 -54,-34 -56,24"),
            seam("-60,-28 -36,-44~ -14,-30 -8,-12~ -26,26", 9, Ink.FABRIC),
            seam("-58,4 -36,14~ -18,4", 7, Ink.FABRIC),
            dots("-14,-26", 5),
        ),
        ("footwear", "summer shoes", "something for the beach"),
        ("with straps", "with an open toe", "with a buckle"),
        0.54,
    ),
    Garment(
        "flip-flops",
        (
            *swinging(
                7,
                "40,60",
                twins(
                    Ink.FABRIC,
                    "38,-74 66,-76~ 72,-40 72,-10~ 64,20 70,74~ "
                    "40,76 12,74~ 18,20 8,-10~ 12,-44 16,-72~ 38,-74",
                ),
                twins(
                    Ink.SOLE,
                    "36,-66 60,-66~ 64,-38 64,-10~ 57,20 60,66~ "
                    "40,68 20,66~ 26,20 16,-10~ 19,-42 22,-66~ 36,-66",
                ),
                twins(
                    Ink.TRIM,
                    "36,-50 42,-50 62,-20~ 66,18 58,16 54,-14~ "
                    "39,-36 24,-14~ 22,14 14,14 16,-22~ 36,-50",
                ),
            ),
        ),
        ("footwear", "summer shoes", "something for the beach"),
        ("with an open toe", "with thong straps"),
        0.0,
        ("sandals",),
    ),
)
