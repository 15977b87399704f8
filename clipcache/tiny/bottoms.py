"""The outlines of what is worn from the waist down, and of what covers all."""

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

_HIP = "16,-50"
_WAISTBAND = fold(Ink.TRIM, "0,-84 33,-84 35,-72 0,-72")


def _legs(
    hip: int, hem: tuple[int, int], *, length: int = 92, swing: float = 5
) -> tuple[Part, ...]:
    """Return two legs joined at the top; ``hem`` is the inner and outer edge."""
    inner, outer = hem
    knee = f"{(hip + outer) / 2 + 1},10"
    return (
        *swinging(
            swing,
            _HIP,
            twins(
                Ink.FABRIC,
                f"0,-60 {hip - 2},-60 {hip},-36~ "
                f"{knee} {outer},{length} {inner},{length} 3,-14 0,-30",
            ),
        ),
        fold(Ink.FABRIC, f"0,-84 33,-84 {hip},-40 {hip - 6},-30 6,-20 0,-16"),
    )


BOTTOMS = (
    Garment(
        "jeans",
        (
            *_legs(42, (16, 42)),
            *swinging(
                5,
                _HIP,
                seams("39,-30 40,20 40,86", 2, Ink.STITCH),
                seams("17,85 41,85", 2.5, Ink.STITCH),
            ),
            _WAISTBAND,
            seam("-34,-73 34,-73", 2, Ink.STITCH),
            seams("13,-71 16,-54~ 36,-52", 3, Ink.STITCH),
            seam("0,-72 0,-18", 2.5),
            seam("-1,-34 8,-36~ 9,-70", 2.5, Ink.STITCH),
            dots("0,-78", 4),
            seams("22,-86 22,-70", 4, Ink.TRIM),
            *sometimes(
                0.3,
                "with ripped knees",
                *swinging(
                    5, _HIP, seams("18,12 36,9", 4, Ink.SHINE), seams("20,22 34,20", 3, Ink.SHINE)
                ),
            ),
        ),
        ("bottoms", "something casual", "denim"),
        ("with pockets", "with contrast stitching", "with a button"),
        0.82,
        (),
        ("blue", "navy", "grey", "black"),
    ),
    Garment(
        "trousers",
        (
            *_legs(40, (14, 34), swing=4),
            *swinging(4, _HIP, seams("20,-56 26,10 24,90", 2.5)),
            fold(Ink.FABRIC, "0,-84 33,-84 35,-74 0,-74"),
            seam("-34,-74 34,-74", 2),
            seam("0,-74 0,-18", 2.5),
            seams("24,-72 36,-50", 3),
            dots("2,-79", 3),
        ),
        ("bottoms", "pants", "something formal"),
        ("with a crease", "with slanted pockets", "full-length"),
        0.38,
        ("pants",),
    ),
    Garment(
        "sweatpants",
        (
            *_legs(47, (16, 46), length=82, swing=7),
            *swinging(
                7, _HIP, twins(Ink.TRIM, "19,78 43,78 40,95 22,95"), seams("18,78 44,78", 2.5)
            ),
            *sometimes(
                0.5,
                "with a side stripe",
                *swinging(7, _HIP, seams("44,-40 46,10 44,76", 6, Ink.TRIM)),
            ),
            _WAISTBAND,
            *(seam(f"{x},-83 {x},-73", 1.5) for x in range(-28, 29, 8)),
            seams("3,-76 8,-46", 3.5, Ink.SHINE),
        ),
        ("bottoms", "pants", "sportswear"),
        ("with a drawstring", "with ribbed cuffs", "with a loose fit"),
        0.0,
        ("pants",),
    ),
    Garment(
        "leggings",
        (
            *_legs(33, (10, 22), length=94, swing=5),
            fold(Ink.FABRIC, "0,-88 28,-88 32,-60 0,-60"),
            seam("-29,-76 29,-76", 2.5),
            seams("2,-16 10,90", 1.5),
        ),
        ("bottoms", "sportswear", "something stretchy"),
        ("with a tight fit", "full-length", "with a narrow ankle"),
        0.38,
        ("tights", "pants"),
    ),
    Garment(
        "shorts",
        (
            *swinging(
                6,
                "16,-40",
                twins(Ink.FABRIC, "0,-44 44,-44 62,42 10,46 2,-2 0,-14"),
                seams("61,34 10,38", 3),
            ),
            fold(Ink.FABRIC, "0,-62 40,-62 48,-20 6,0 0,4"),
            fold(Ink.TRIM, "0,-62 40,-62 42,-48 0,-48"),
            seam("0,-48 0,0", 2.5),
            seams("26,-47 44,-22", 3),
            *sometimes(0.5, "with a drawstring", seams("3,-52 8,-26", 3, Ink.SHINE)),
        ),
        ("bottoms", "summer clothes", "something light"),
        ("above the knee", "with pockets"),
        0.78,
    ),
    Garment(
        "skirt",
        (
            fold(Ink.FABRIC, "0,-58 28,-58 74,52 66,58 54,50 42,60 28,52 14,61 0,54"),
            *(
                twins(Ink.SHADE, text)
                for text in ("5,-46 14,61 5,57", "14,-46 42,60 30,53", "22,-46 66,58 55,51")
            ),
            *(seams(text, 2) for text in ("5,-46 14,61", "14,-46 42,60", "22,-46 66,58")),
            fold(Ink.TRIM, "0,-62 28,-62 31,-46 0,-46"),
        ),
        ("bottoms", "something light", "summer clothes"),
        ("with pleats", "knee-length"),
        0.7,
    ),
    Garment(
        "pencil skirt",
        (
            fold(Ink.FABRIC, "0,-76 26,-76 38,-40~ 38,-10 30,78 0,78"),
            fold(Ink.SHADE, "0,-76 26,-76 28,-66 0,-66"),
            seams("12,-64 15,-40", 2.5),
            shape(Ink.INSIDE, "12,46 18,78 8,78"),
            seam("12,46 12,78", 2.5),
        ),
        ("bottoms", "something formal", "office clothes"),
        ("with a slit", "with a narrow cut", "knee-length"),
        0.0,
        ("skirt",),
    ),
)

ALL_IN_ONE = (
    Garment(
        "dress",
        (
            fold(Ink.INSIDE, "0,-70 16,-76 14,-50 0,-46"),
            fold(Ink.FABRIC, "0,-48 12,-50~ 16,-78 30,-76 26,-52~ 33,-40 25,-8 58,78 40,84~ 0,82"),
            fold(Ink.TRIM, "0,-12 25,-12 26,-2 0,-2"),
            seams("10,0 20,80", 2.5),
            seams("18,-1 40,80", 2.5),
        ),
        ("something elegant", "summer clothes", "womenswear"),
        ("with a waistband", "without sleeves", "knee-length"),
        0.82,
    ),
    Garment(
        "evening gown",
        (
            seams("18,-62 10,-96", 3.5, Ink.FABRIC),
            fold(Ink.FABRIC, "0,-54 10,-68~ 22,-62 17,-26 25,-4~ 26,30 62,96 0,97"),
            *(twins(Ink.SHADE, text) for text in ("3,20 22,97 6,97", "15,20 50,96 34,96")),
            seams("3,20 20,96", 2.5),
            seams("15,20 48,96", 2.5),
            seams("2,-52 14,-16~ 17,6", 2.5),
        ),
        ("something elegant", "something formal", "womenswear"),
        ("with thin straps", "floor-length", "with a low neckline"),
        0.0,
        ("dress",),
    ),
    Garment(
        "dungarees",
        (
            *swinging(4, _HIP, twins(Ink.FABRIC, "0,-10 40,-10 43,20~ 40,92 14,92 4,18 0,14")),
            seams("15,-44 20,-94", 8, Ink.FABRIC),
            fold(Ink.FABRIC, "0,-50 22,-50 24,-24 34,-12 40,-8 41,0 36,-6 6,14 0,16"),
            *swinging(4, _HIP, twins(Ink.TRIM, "14,82 41,82 41,93 14,93")),
            seam("-22,-49 22,-49", 3, Ink.STITCH),
            seam("-12,-38 12,-38 12,-18 0,-12 -12,-18 -12,-38", 3, Ink.STITCH),
            seam("-39,-5 39,-5", 3, Ink.STITCH),
            dots("19,-46 -19,-46", 4.5),
            seam("0,-2 0,18", 2.5),
        ),
        ("denim", "workwear", "something casual"),
        ("with a bib", "with straps", "with a front pocket"),
        0.0,
        ("jeans",),
    ),
    Garment(
        "swimsuit",
        (
            fold(Ink.INSIDE, "0,-30 22,-66 22,-30 0,-20"),
            fold(
                Ink.FABRIC,
                "0,-26 16,-28~ 18,-82 26,-82 28,-46~ 38,-36 26,-2 40,34 14,46~ 9,78 0,78",
            ),
            seams("18,-82 16,-28~ 0,-26", 3.5, Ink.TRIM),
            seams("40,34 14,46~ 9,78", 3.5, Ink.TRIM),
        ),
        ("something for the beach", "summer clothes"),
        ("without sleeves", "with high-cut legs", "with thin straps"),
        0.42,
    ),
)
