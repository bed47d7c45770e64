"""What goes out of SHOW CREATE TABLE: laws, and texts of servers; no server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.create_table import create_table
from graph.definition import Definition
from graph.pieces import UnknownFormError
from graph.quoting import identifier

COLUMN = "  `id` int NOT NULL"
#: A text that looks like everything that is looked for.
EVIL = ") ENGINE=x CONNECTION='mysql://u:p@h' AUTO_INCREMENT=3 /*!50100 TABLESPACE `t` */ -- # PARTITION BY"


def made(options: str, *elements: str, partitions: str = "") -> str:
    body = ",\n".join(elements or (COLUMN,))
    return f"CREATE TABLE `t` (\n{body}\n){options}{partitions}"


def text(value: str) -> str:
    """As the server writes texts there."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\0", "\\0")
    return f"'{escaped}'"


KEPT = [
    " ENGINE=InnoDB",
    " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci",
    " ENGINE=InnoDB DEFAULT CHARSET=latin1 ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8 STATS_PERSISTENT=1 COMMENT='x''y'",
    " ENGINE=MyISAM DEFAULT CHARSET=utf8mb4 MAX_ROWS=10 AVG_ROW_LENGTH=9 CHECKSUM=1 DELAY_KEY_WRITE=1 PACK_KEYS=1",
    " ENGINE=Aria DEFAULT CHARSET=utf8mb4 PAGE_CHECKSUM=1 TRANSACTIONAL=1",
    " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 WITH SYSTEM VERSIONING",
    f" ENGINE=InnoDB COMMENT={text(EVIL)}",
    "",
]


@pytest.mark.parametrize("options", KEPT)
def test_known_options_stay_as_they_are(options: str) -> None:
    shown = made(options)
    found = create_table(shown)
    assert (found.statement, found.withheld, found.elsewhere) == (shown, (), False)


@pytest.mark.parametrize(
    ("default", "goes_out"),
    [
        ("DEFAULT nextval(`l`.`s`)", False),
        ("DEFAULT (nextval(`l`.`s`) + 1)", False),
        ("DEFAULT lastval(`l`.`s`)", False),
        ("DEFAULT 'nextval(s)'", True),
        ("DEFAULT (concat('nextval(', `nextval`))", True),
        ("DEFAULT current_timestamp(3)", True),
        ("DEFAULT 3 COMMENT 'nextval('", True),
    ],
)
def test_a_default_from_a_sequence_does_not_go_out(default: str, goes_out: bool) -> None:
    found = create_table(made(" ENGINE=InnoDB", COLUMN, f"  `n` int NOT NULL {default}", "  PRIMARY KEY (`id`)"))
    kept = f"  `n` int NOT NULL {default}" if goes_out else "  `n` int NOT NULL"
    assert f"{COLUMN},\n{kept},\n" in found.statement
    assert found.withheld == (() if goes_out else ("a default from a sequence",))


WITHHELD = {
    "CONNECTION='mysql://root:p''s@h:1/s/t'": ["CONNECTION"],
    "DATA DIRECTORY='/secret/' INDEX DIRECTORY='/s\\\\'": ["DATA DIRECTORY", "INDEX DIRECTORY"],
    "UNION=(`a`,`b)`) INSERT_METHOD=LAST": ["UNION", "INSERT_METHOD"],
    "`ENCRYPTED`='YES' `ENCRYPTION_KEY_ID`=1 `PAGE_COMPRESSED`='ON'": [
        *("ENCRYPTED", "ENCRYPTION_KEY_ID", "PAGE_COMPRESSED")
    ],
    "`COMMENT`='a' `ROW_FORMAT`=b `OPTION_LIST`='user=x,password=y'": ["COMMENT", "ROW_FORMAT", "OPTION_LIST"],
    "TABLE_TYPE=MYSQL OPTION_LIST='password=y' SRCDEF='SELECT 1' FILE_NAME='/x'": [
        *("TABLE_TYPE", "OPTION_LIST", "SRCDEF", "FILE_NAME")
    ],
    "/*!50100 TABLESPACE `a ENGINE=b */` */": ["TABLESPACE"],
    "/*!50100 TABLESPACE ts STORAGE DISK */": ["TABLESPACE", "STORAGE"],
    "TABLESPACE=`ts` STORAGE=DISK": ["TABLESPACE", "STORAGE"],
    "TABLESPACE ts STORAGE DISK": ["TABLESPACE", "STORAGE"],
    "/*!80021 ENGINE_ATTRIBUTE='{\"k\": \"*/\"}' */ /*!80021 SECONDARY_ENGINE_ATTRIBUTE='x' */": [
        *("ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE")
    ],
    "/*!80016 ENCRYPTION='Y' */ COMPRESSION='zlib' /*!80023 AUTOEXTEND_SIZE=4194304 */": [
        *("ENCRYPTION", "COMPRESSION", "AUTOEXTEND_SIZE")
    ],
    "SECONDARY_ENGINE=RAPID START TRANSACTION": ["SECONDARY_ENGINE", "START TRANSACTION"],
    "PASSWORD='x' SOMETHING_NEW=(1, (2)) ANOTHER": ["PASSWORD", "SOMETHING_NEW", "ANOTHER"],
}


@pytest.mark.parametrize("option", WITHHELD)
@pytest.mark.parametrize("before", [True, False])
def test_other_options_do_not_go_out(option: str, before: bool) -> None:
    rest = "ENGINE=InnoDB AUTO_INCREMENT=77 DEFAULT CHARSET=utf8mb4 COMMENT='c'"
    found = create_table(made(f" {option} {rest}" if before else f" {rest} {option}"))
    assert found.statement == made(" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='c'")
    assert list(found.withheld) == WITHHELD[option]


def test_comments_of_the_server_do_not_go_out() -> None:
    shown = made(" ENGINE=InnoDB /* `BAD`='*\\/ y' */", "  `id` int NOT NULL /* `BAD`='x' */")
    assert create_table(shown).statement == made(" ENGINE=InnoDB")


def test_a_counter_is_no_reason_to_say_anything() -> None:
    found = create_table(made(" ENGINE=InnoDB AUTO_INCREMENT=18446744073709551615"))
    assert (found.statement, found.withheld) == (made(" ENGINE=InnoDB"), ())


ELEMENTS = {
    "`v` varchar(10) /*!50606 STORAGE DISK */ /*!50606 COLUMN_FORMAT FIXED */ DEFAULT NULL": (
        "`v` varchar(10) DEFAULT NULL"
    ),
    "`v` int DEFAULT NULL /*!80021 ENGINE_ATTRIBUTE '{\"a\": \",)\"}' */ COMMENT 'c'": (
        "`v` int DEFAULT NULL COMMENT 'c'"
    ),
    "`v` int /*!80013 NOT SECONDARY */ DEFAULT '1'": "`v` int DEFAULT '1'",
    "`v` varchar(9) DEFAULT NULL COMMENT 'a=b' `FIELD_FORMAT`='x,)' `FLAG`=11": (
        "`v` varchar(9) DEFAULT NULL COMMENT 'a=b'"
    ),
    "KEY `k` (`v`) KEY_BLOCK_SIZE=4 USING BTREE COMMENT 'ix' /*!80021 ENGINE_ATTRIBUTE 'x' */": (
        "KEY `k` (`v`) KEY_BLOCK_SIZE=4 USING BTREE COMMENT 'ix'"
    ),
    "KEY `k` (`v`) `CLUSTERING`=YES `KEY_BLOCK_SIZE`='x'": "KEY `k` (`v`)",
}


@pytest.mark.parametrize("element", ELEMENTS)
def test_attributes_that_only_engines_read_do_not_go_out(element: str) -> None:
    found = create_table(made(" ENGINE=InnoDB", COLUMN, f"  {element}"))
    assert found.statement == made(" ENGINE=InnoDB", COLUMN, f"  {ELEMENTS[element]}")
    assert found.withheld


SAME = [
    "`g` geometry NOT NULL /*!80003 SRID 4326 */",
    "`i` int DEFAULT NULL /*!80023 INVISIBLE */",
    "`c` text /*M!100301 COMPRESSED*/ DEFAULT NULL",
    "`e` enum('a=b','c''d',') ENGINE=x') COLLATE utf8mb4_bin DEFAULT 'a=b'",
    "`s` int GENERATED ALWAYS AS ((`id` = 2)) STORED",
    "`d` text DEFAULT (_utf8mb4'x = y')",
    "`j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`j`))",
    "`x` int(11) DEFAULT NULL WITHOUT SYSTEM VERSIONING",
    "FULLTEXT KEY `f` (`t`) /*!50100 WITH PARSER `ngram` */ ",
    "KEY `k` ((`id` = 3),`v` DESC) /*!80000 INVISIBLE */",
    "CONSTRAINT `c` CHECK ((`id` = 1)) /*!80016 NOT ENFORCED */",
    "CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `o` (`id`) ON DELETE CASCADE",
    "PERIOD FOR SYSTEM_TIME (`t`, `u`)",
]


@pytest.mark.parametrize("element", SAME)
def test_what_belongs_to_the_table_stays(element: str) -> None:
    shown = made(" ENGINE=InnoDB", COLUMN, f"  {element}")
    assert (create_table(shown).statement, create_table(shown).withheld) == (shown, ())


RANGES = (
    "{0}PARTITION BY RANGE (`id`)\n(PARTITION p0 VALUES LESS THAN (10){1} ENGINE = {2},\n PARTITION p1{1} ENGINE = {2})"
)


@pytest.mark.parametrize(
    "option",
    [
        " DATA DIRECTORY = '/secret/' INDEX DIRECTORY = '/x'",
        " TABLESPACE = `a)b`",
        " NODEGROUP = 1",
        " CONNECTION = 'mysql://u:p@h'",
    ],
)
@pytest.mark.parametrize(("start", "end"), [("\n/*!50100 ", " */"), ("\n ", "")])
def test_partitions_go_out_without_folders(option: str, start: str, end: str) -> None:
    kept = " MAX_ROWS = 4 COMMENT = 'DATA DIRECTORY = ''x'''"
    shown = made(" ENGINE=InnoDB", partitions=RANGES.format(start, option + kept, "InnoDB") + end)
    found = create_table(shown)
    assert found.statement == made(" ENGINE=InnoDB", partitions=RANGES.format(start, kept, "InnoDB") + end)
    assert found.withheld


def test_subpartitions_go_out_without_folders() -> None:
    form = (
        "\n/*!50100 PARTITION BY RANGE (`id`)\nSUBPARTITION BY HASH (`id`)\n(PARTITION p0 VALUES LESS THAN (10)\n"
        " (SUBPARTITION s0{} ENGINE = InnoDB,\n  SUBPARTITION s1 ENGINE = InnoDB)) */"
    )
    shown = made(" ENGINE=InnoDB", partitions=form.format(" DATA DIRECTORY = '/x'"))
    assert create_table(shown).statement == made(" ENGINE=InnoDB", partitions=form.format(""))


@pytest.mark.parametrize(
    "partitions",
    [
        "\n/*!50100 PARTITION BY KEY (id)\nPARTITIONS 3 */",
        "\n PARTITION BY SYSTEM_TIME LIMIT 100\n(PARTITION `p` HISTORY)",
    ],
)
def test_other_partitions_stay(partitions: str) -> None:
    shown = made(" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4", partitions=partitions)
    assert create_table(shown).statement == shown


ELSEWHERE = {
    "FEDERATED": (" CONNECTION='mysql://u:p@h/s/t' ROW_FORMAT=FIXED COMMENT='c'", " COMMENT='c'"),
    "CONNECT": (" `TABLE_TYPE`='MYSQL' CONNECTION='x' COMMENT='c'", " COMMENT='c'"),
    "MRG_MyISAM": (" INSERT_METHOD=LAST UNION=(`a`,`b`) COMMENT='c'", " COMMENT='c'"),
    "SPIDER": (' COMMENT=\'wrapper "mysql", password "p"\'', ""),
    "SPHINX": (" CONNECTION='sphinx://h' COMMENT='x'", ""),
    "NEWENGINE": (" COMMENT='c' KEY_BLOCK_SIZE=4", ""),
}


@pytest.mark.parametrize("engine", ELSEWHERE)
def test_a_table_whose_rows_are_elsewhere_becomes_a_plain_one(engine: str) -> None:
    options, kept = ELSEWHERE[engine]
    found = create_table(made(f" ENGINE={engine} DEFAULT CHARSET=utf8mb4{options}"))
    assert found.statement == made(f" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4{kept}")
    assert found.elsewhere and found.engine == engine and found.withheld


def test_partitions_elsewhere_lose_their_comments() -> None:
    form = "\n PARTITION BY HASH (`id`)\n(PARTITION `p`{} ENGINE = {})"
    shown = made(" ENGINE=SPIDER COMMENT='a'", partitions=form.format(" COMMENT = 'password \"p\"'", "SPIDER"))
    assert create_table(shown).statement == made(" ENGINE=InnoDB", partitions=form.format("", "InnoDB"))


TEXTS = st.text(st.sampled_from(f"{EVIL}`'\"\\\n,()="), max_size=40) | st.just(EVIL)
NAMES = TEXTS.filter(bool)


@given(names=st.lists(NAMES, min_size=1, max_size=4), comments=st.lists(TEXTS, min_size=4), table=TEXTS)
def test_names_and_texts_may_hold_anything(names: list[str], comments: list[str], table: str) -> None:
    elements = [
        f"  {identifier(name)} varchar(9) DEFAULT {text(note)} COMMENT {text(note)}"
        for name, note in zip(names, comments, strict=False)
    ]
    elements.append(f"  KEY {identifier(names[0])} ({identifier(names[0])}) COMMENT {text(table)}")
    kept = f" DEFAULT CHARSET=utf8mb4 COMMENT={text(table)}"
    withheld = f" CONNECTION={text(table)} /*!50100 TABLESPACE {identifier(names[0])} */"
    found = create_table(made(f" ENGINE=InnoDB AUTO_INCREMENT=5{kept}{withheld}", *elements))
    assert found.statement == made(f" ENGINE=InnoDB{kept}", *elements)
    assert found.columns == tuple((name, "varchar") for name in names[: len(comments)])
    assert found.withheld == ("CONNECTION", "TABLESPACE")


@pytest.mark.parametrize(
    "shown", ["", "CREATE VIEW `v` AS select 1", "CREATE TABLE `t` (`a` int", "CREATE SEQUENCE `s`"]
)
def test_what_is_no_table_is_not_taken_for_one(shown: str) -> None:
    with pytest.raises(UnknownFormError):
        create_table(shown)


def test_a_digest_is_of_all_but_the_counter() -> None:
    shown = "t\t" + made(" ENGINE=InnoDB{} COMMENT='x'")
    first, second = Definition(shown.format("")), Definition(shown.format(" AUTO_INCREMENT=7"))
    assert first.digest == second.digest
    assert Definition(shown.format(" CONNECTION='a'")).digest != first.digest
    assert Definition(shown.format("").replace("`id` int", "`id` bigint")).digest != first.digest
