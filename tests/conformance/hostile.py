"""Feeds that try to make engines differ: what their JSON readers, numbers, texts and regular expressions do not share.

Belongs here: the hostile records and files. What becomes of them is told by the tests that read them.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

from resources.files.ndjson import LONGEST_LINE
from stedi_assets import contracts

READING = {"user": "a@example.com", "timestamp": 1655564376361, "x": 1.0, "y": -0.5, "z": 0.25}
STEP = {"sensorReadingTime": 1655564376361, "serialNumber": "s-1", "distanceFromObject": 240}
CUSTOMER = {
    "customerName": "Ada Example",
    "email": "a@example.com",
    "phone": "5550100",
    "birthDay": "0993-01-01",
    "serialNumber": "s-1",
    "registrationDate": 1655564376361,
    "lastUpdateDate": 1655564376361,
    "shareWithResearchAsOfDate": 1655564376361,
}
PAIRED = "paired@example.com"
"""A customer whose phone and Step Trainer agree, so that every table has rows."""
WHOLE = '"user":"a@example.com","timestamp":1655564376361,"x":1,"y":2,"z":3'

# fmt: off
NUMBERS = [
    '1e400', '-1e400', '1e308', '1.7976931348623157e308', '5e-324', '1e-400', '2.2250738585072011e-308',
    '1e1000000000', '0e0', '-0', '-0.0', '0.0', '1E5', '1e+05', '01', '+1', '.5', '5.', '1_000', '0x10', '-', '1e',
    '1/2', 'NaN', 'Infinity', '-Infinity', '"NaN"', '"nan"', '"Infinity"', '"-inf"', '"+inf"', '"INF"', '"1d"',
    '"1f"', '"1D"', '"1.0F"', '"1l"', '"0x1p3"', '"0b1"', '"1e5"', '"1,5"', '".5"', '"5."', '"+5"', '"--5"', '"-"',
    '"1e"', '"1e400"', '"-1e-400"', r'"1\u0000"', r'"\u0031"', r'"1\u00a0"', '1.0000000000000001',
    '0.12345678901234567', '0.1000000000000000055511151231257827', '123456789.123456789123456789', '4.35',
    '1655564376361.0', '1.655564376361e12', '1655564376361.0000000001', '123456789012345678', '9223372036854775807',
    '9223372036854775808', '-9223372036854775808', '99999999999999999999999999', 'true', 'false', 'null', '""',
    r'"\t1"', r'"1\n"', '[]', '{}', '[1]', '{"a":1}', '""1""', "'1'", 'tru', '1//c',
]
TEXTS = [
    '" "', '"1 2"', '" 1.5 "', r'"a\"b"', r'"a\\b"', r'"a\/b"', r'"\ud83d\ude00"', '"😀"', r'"\ud83d"',
    r'"\udc00\ud800"', r'"\x41"', '"tab\there"', r'"\u00e9"', '"e\u0301"', '"\u2028"', '"null"', '"[a"', '"{a"',
    '"\x85a"', r'"\u0085a"', '"\u3000a"', '"\x1fa"', r'"\u001fa"',
    '"' + "x" * 900 + '"', '"a\\', '"İ"', '"ß"', '1.10', '12.5e3', '"１"', '"٣"', '12345678901234567890123',
    r'"\\ud83d"', '"\u200b"', '"\ufeffa\xa0"', r'"\u0000"', r'"\u٣041"', r'"\u004"', '"end of the record"',
]
SCRAPS = [
    '{', '}', '[', ']', ',', ' ', '"', '\\', ':', '\xa0', '\u2028', '\x85', '\x0b', '\r', '\t', '\ufeff', '٣', 'x',
    '1.', 'e5', '-', r'\u0041', "'", '/*', '\x00', '\ufffd', '😀',
]
# fmt: on
RECORDS = [
    '{"user":"a","user":"b","timestamp":1655564376361,"x":1,"y":2,"z":3}',
    '{"user":"a","timestamp":1655564376361,"timeStamp":1655564376362,"x":1,"y":2,"z":3}',
    '{"user":"a","timeStamp":1655564376361,"timestamp":1655564376362,"x":1,"y":2,"z":3}',
    '{"user":"a","timestamp":1655564376361,"x":1,"x":null,"y":2,"z":3}',
    '{"User":"a","timestamp":1655564376361,"x":1,"y":2,"z":3}',
    '{"\\u0075ser":"a","timestamp":1655564376361,"x":1,"y":2,"z":3}',
    '{"user":"a","timestamp":1655564376361,"x":1,"y":2,"z":3,"end of the rec\\u006frd":"a"}',
    '{"user":"a","timestamp":1655564376361,"x":1,"y":2,"z":3,"end of the rec\\u006frd":"a"} lost}',
    '{"\\u0075ser":1.50,"timestamp":1655564376361,"x":1,"y":2,"z":3}',
    "{'user':'a','timestamp':1655564376361,'x':1,'y':2,'z':3}",
    '{user:"a","timestamp":1655564376361,"x":1,"y":2,"z":3}',
    f"{{{WHOLE},}}",
    f"{{{WHOLE}}}}}",
    f"{{{{{WHOLE}}}",
    f"{{{WHOLE}}} trailing",
    f"{{{WHOLE}}}//c",
    f"/*c*/{{{WHOLE}}}",
    f"{{{WHOLE}",
    f'{{{WHOLE},"u":NaN}}',
    f'{{{WHOLE},"u":1e400}}',
    f'{{{WHOLE},"u":01}}',
    f'{{{WHOLE},"u":tru}}',
    f'{{{WHOLE},"u":"\\q"}}',
    f'{{{WHOLE},"u":"a\tb"}}',
    f'{{{WHOLE},"u":"\x00"}}',
    f'{{{WHOLE},"u":{{"x":5}}}}',
    f'{{"u":{{"user":"b"}},{WHOLE}}}',
    f'{{{WHOLE},"":1}}',
    f'{{{WHOLE},"u":{"9" * 400}}}',
    f'{{{WHOLE}}},"end of the record":"end of the record"}} rubbish',
    f'{{{WHOLE},"_corrupt_record":"a"}}',
    f'{{{WHOLE},"text of a broken record":"a"}}',
    '{"user":"timeStamp","timeStamp":1655564376361,"x":1,"y":2,"z":3}',
    '{"user":"timeStamp","timeStamp" : 1655564376361,"x":1,"y":2,"z":3}',
    '{ "user" : "a" , "timestamp" : 1655564376361 , "x" : 1 , "y" : 2 , "z" : 3 }',
    *(f'{{{WHOLE},"u":{"[" * n}{"]" * n}}}' for n in (10, 60, 62, 63, 64, 65, 100, 130, 300, 2000)),
    *(f'{{{WHOLE},"u":{_open}1{"}" * n}}}' for n in (60, 63, 64, 130) for _open in ['{"a":' * n]),
    f'{{{WHOLE},"u":[{",".join(["[]"] * 100)}]}}',
    f'{{{WHOLE},"u":"{"[" * 100}"}}',
    "{}",
    "[]",
    "[{}]",
    '{"a"}',
    '{"a":}',
    "{:1}",
    "{,}",
    '{"user":}',
    "{null:1}",
    '{"x":1',
    '"{}"',
    '{"x":{}}',
    "null",
    "12",
    '"text"',
    "tru",
    "\\",
    '{"user":[',
    '{"user":"a',
    '{"a":1}{"b":2}',
    '{"a":"}{"}',
    '{"user":{"a":"b"}}x',
    "\ufeff{}",
    "\u0085",
    "\u2028{}",
    "\x0b{}\x0c",
    "\u00a0",
    "\u3000[]",
    "\x1c",
    "٣",
]


def with_value(record: dict[str, object], field: str, value: str) -> str:
    """The record as JSON, with this text in place of the field's value."""
    return json.dumps({**record, field: "@"}).replace('"@"', value)


LINES = {
    feed.name: [
        *[json.dumps(record)] * 20,
        *(with_value(record, field, value) for field in fields for value in [*NUMBERS, *TEXTS]),
        *(record for record in RECORDS if len(record) < 900),
    ]
    for feed, record, fields in (
        (contracts.ACCELEROMETER, READING, ("x", "timestamp", "user")),
        (contracts.STEP_TRAINER, STEP, ("distanceFromObject", "serialNumber", "sensorReadingTime")),
        (contracts.CUSTOMER, CUSTOMER, ("email", "phone", "shareWithResearchAsOfDate")),
    )
}
"""Lines of each feed to damage: whole ones, ones with odd values, and hostile ones."""


def damaged(records: list[str], count: int, seed: int = 20220615) -> Iterator[str]:
    """Lines of records with scraps thrown in, characters removed, and records stuck together; the same for a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        characters = list("".join(rng.choice(records)[:400] for _ in range(rng.randint(1, 3))))
        for _ in range(rng.randint(1, 4)):
            position = rng.randrange(len(characters) + 1)
            if rng.random() < 0.5:
                characters.insert(position, rng.choice(SCRAPS))
            else:
                del characters[position : position + 1]
        yield "".join(characters)[:990].replace("\n", " ")


def readings(damaged_lines: int) -> list[str]:
    """Hostile lines of the accelerometer feed."""
    paired = json.dumps({**READING, "user": PAIRED})
    values = [*NUMBERS, *TEXTS]
    odd = [with_value(READING, field, value) for field in ("x", "timestamp", "user") for value in values]
    # Equal and nearly equal readings: zero has two signs, and engines group them in two ways.
    twins = [with_value(READING, "z", value) for value in ("0.0", "-0.0", "0.0", "0", "-0")]
    records = [json.dumps(READING), paired, *odd, *twins, *RECORDS]
    return [*records, *damaged(records, damaged_lines)]


def steps(damaged_lines: int) -> list[str]:
    """Hostile lines of the Step Trainer feed."""
    values = [*NUMBERS, *TEXTS]
    odd = [with_value(STEP, field, value) for field in ("distanceFromObject", "serialNumber") for value in values]
    paired = json.dumps({**STEP, "serialNumber": "s-paired"})
    return [paired, *odd, *damaged([json.dumps(STEP), *odd], damaged_lines)]


def customers(damaged_lines: int) -> list[str]:
    """Hostile lines of the customer feed: odd values, ties, and e-mail addresses that letter case makes one or two."""
    fields = ("email", "phone", "lastUpdateDate", "shareWithResearchAsOfDate")
    odd = [with_value(CUSTOMER, field, value) for field in fields for value in [*NUMBERS, *TEXTS]]
    names = ["İ", "i̇", "ΣΑΣ", "σας", "σασ", "ẞ", "ß", "K", "k", "\u00a0a"]
    emails = [*(f"{name}@example.com" for name in names), "A@EXAMPLE.COM "]
    people = [{**CUSTOMER, "email": email, "serialNumber": f"s-{number}"} for number, email in enumerate(emails)]
    ties = [{**CUSTOMER, "shareWithResearchAsOfDate": since} for since in (None, 0, 1655564376361, 1655564376362)]
    ties += [
        {**CUSTOMER, "email": "tie@example.com", "phone": phone} for phone in ("1", None, "é", "z", "Z", "😀", "\uffff")
    ]
    paired = {**CUSTOMER, "email": PAIRED, "serialNumber": "s-paired"}
    records = [json.dumps(record, ensure_ascii=False) for record in (paired, *people, *ties)]
    return [*records, *odd, *damaged([*records, *odd], damaged_lines)]


def write_hostile_feeds(folder: Path, damaged_lines: int) -> None:
    """Write the three feeds, each in several files of every layout that the parser promises to take."""
    writers = {"customer": customers, "accelerometer": readings, "step_trainer": steps}
    whole = {"customer": CUSTOMER, "accelerometer": READING, "step_trainer": STEP}
    for feed, write in writers.items():
        records = write(damaged_lines)
        place, record = folder / feed / "landing", json.dumps(whole[feed])
        place.mkdir(parents=True, exist_ok=True)
        long_text = json.dumps({**whole[feed], "note": '\\ " } { é' * 30_000, "user": "u" * 100_000})
        files = {
            "lines.json": "\n".join(line for line in records if len(line.encode()) <= LONGEST_LINE),
            "long lines.json": "\n".join(line for line in records if len(line.encode()) > LONGEST_LINE),
            "crlf.json": f"{record}\r\n\r\n{record}\r{record}\r\n",
            "stuck.json": record * 3 + "," + record,
            "array.json": f"[{record},\n{record}\n]",
            "pretty.json": json.dumps([whole[feed]] * 2, indent=2),
            "long.json": f"{long_text}{long_text}\n{long_text[:-1]}\n{record}\n",
            "marked.json": "\ufeff" + record,
            "rubbish.json": "}{ not [json\n" * 3,
            "empty.json": "",
            "name with blank ü=1.json": record,
        }
        for name, text in files.items():
            # Lone surrogates stand for bytes that are no text.
            (place / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        (place / "not utf8.json").write_bytes(record.encode() + b"\n" + record.replace("1", "\xff").encode("latin-1"))
        (place / "packed.json.gz").write_bytes(gzip.compress(f"{record}\n{record[:-2]}\n".encode()))
